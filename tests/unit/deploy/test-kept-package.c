/* SPDX-License-Identifier: MIT */
#include "agent/deploy/kept-package.h"

#include "agent/package/oci-write.h"
#include "protocol/artifact/archive.h"
#include "protocol/artifact/file-list.h"
#include "protocol/base/fd.h"
#include "protocol/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CONFIG                                                                         \
    "{\"Entrypoint\":[\"/app/x\",\"-v\"],\"Cmd\":[\"serve\"],\"WorkingDir\":\"/app\"," \
    "\"Env\":[\"A=1\",\"B=x=y\",\"EMPTY=\",\"=bad\",\"bad\"]}"

typedef struct Place {
    char path[128];
    int fd;
    Releases releases;
} Place;

static int set_up(void **state)
{
    static Place place;
    const char *base = getenv("TMPDIR");

    (void)snprintf(place.path, sizeof(place.path), "%s/package.XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(place.path));
    place.fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place.releases = RELEASES_INIT;
    assert_int_equal(releases_open(place.path, "releases", &place.releases, NULL), 0);
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    Place *place = *state;

    releases_done(&place->releases);
    place->fd = fd_close(place->fd);
    return file_remove_tree(AT_FDCWD, place->path, NULL);
}

/* Makes a package's directory `made` with one file in its image. */
static void make_package(Place *place, const char *template)
{
    _cleanup_json_ Json *config = NULL;
    _cleanup_fd_ int made = -1;
    _cleanup_oci_layout_ OciLayout layout = {0};
    LayerEntry entry = {.from = (char *)"program", .to = (char *)"app/x", .mode = 0755};
    LayerSpec layer = {.root_fd = place->fd, .entries = &entry, .n_entries = 1, .time = 1000};
    OciImageSpec image = {.platform = oci_platform_of_host(), .layers = &layer, .n_layers = 1};
    Release release = {
        .name = (char *)"greeter",
        .version = (char *)"1.2",
        .digest = layout.digest,
        .commit = (char *)"0123456789012345678901234567890123456789",
        .template = (char *)template,
        .committed_at = 1000,
    };

    assert_int_equal(file_replace(place->fd, "program", "#!/bin/sh\n", 10, 0755, NULL), 0);
    assert_int_equal(json_parse(CONFIG, strlen(CONFIG), &config, NULL), 0);
    image.config = config;
    assert_int_equal(mkdirat(place->fd, "made", 0755), 0);
    made = openat(place->fd, "made", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(oci_layout_write(&(OciLayoutSpec){.images = &image, .n_images = 1}, made,
                                      RELEASE_IMAGE, &layout, NULL),
                     0);
    assert_int_equal(release_write(made, &release, NULL), 0);
    assert_int_equal(mkdirat(made, "deploy", 0755), 0);
    assert_int_equal(file_replace(made, "deploy/service.json", "{\"id\":1}", 8, 0644, NULL), 0);
}

/* Packs `made`; the descriptor is at its beginning. */
static int pack(Place *place)
{
    _cleanup_fd_ int made = openat(place->fd, "made", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(place->fd, "package.tar.zst", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FileList list = {0};
    ArchiveSummary summary;

    assert_true(fd >= 0);
    assert_int_equal(file_list_match(made, (const char *const[]){"**"}, 1, &list, NULL), 0);
    assert_int_equal(
        archive_pack(made, list.names, list.count, 1000, fd, NULL, NULL, &summary, NULL), 0);
    file_list_done(&list);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static int unpack(Place *place, KeptPackage *package, unsigned *ret_number, Error *err)
{
    _cleanup_fd_ int fd = pack(place);

    assert_int_equal(releases_make(&place->releases, ret_number, NULL), 0);
    return kept_package_unpack(&place->releases, *ret_number, fd, package, err);
}

static void a_package_is_unpacked_and_opened_again(void **state)
{
    _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT, again = KEPT_PACKAGE_INIT;
    Place *place = *state;
    unsigned number = 0;
    struct stat st;
    char path[256];

    make_package(place, NULL);
    assert_int_equal(unpack(place, &package, &number, NULL), 0);
    assert_string_equal(package.release.name, "greeter");
    assert_null(package.root);
    assert_int_equal(kept_package_unpack_root(&place->releases, number, &package, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/releases/000001/root", place->path);
    assert_string_equal(package.root, path);
    (void)snprintf(path, sizeof(path), "%s/app/x", package.root);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(kept_package_open(&place->releases, number, &again, NULL), 0);
    assert_string_equal(again.root, package.root);
    assert_string_equal(again.release.digest, package.release.digest);
}

/* Somebody between package and deploy changed a byte, or put another image in. */
static void what_was_tampered_with_is_bad(void **state)
{
    static const struct {
        const char *file; /* below made; "": the first layer's blob */
        const char *content;
    } cases[] = {
        {"oci/index.json", "{\"schemaVersion\":2,\"manifests\":[]}"},
        {"release.json", "{\"name\":\"x\"}"},
        {"release.json", NULL},
        {"oci/index.json", NULL},
        {"", "other bytes"},
        {"", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT;
        _cleanup_error_ Error err = {0};
        char path[256];
        unsigned number = 0;
        Place *place;

        (void)set_up(state);
        place = *state;
        make_package(place, NULL);
        if (*cases[i].file) {
            (void)snprintf(path, sizeof(path), "made/%s", cases[i].file);
        } else {
            assert_int_equal(unpack(place, &package, &number, NULL), 0);
            (void)snprintf(path, sizeof(path), "made/oci/blobs/sha256/%s",
                           strchr(package.image.layers[0].digest, ':') + 1);
            kept_package_done(&package);
        }
        if (cases[i].content) {
            assert_int_equal(file_replace(place->fd, path, cases[i].content,
                                          strlen(cases[i].content), 0644, NULL),
                             0);
        } else {
            assert_int_equal(unlinkat(place->fd, path, 0), 0);
        }
        if (unpack(place, &package, &number, &err) != KEPT_PACKAGE_BAD) {
            fail_msg("case %zu was taken: %s", i, error_text(&err));
        }
        assert_non_null(strstr(error_text(&err), "no package that can be deployed"));
        assert_int_equal(package.fd, -1);
        (void)tear_down(state);
    }
}

/* A deb that was packaged without an image: said before anybody wonders where oci/ is. */
static void what_has_no_image_is_not_deployed(void **state)
{
    static const char release[] =
        "{\"name\":\"greeter\",\"version\":\"1\",\"committedAt\":\"2026-01-01T00:00:00.000000Z\","
        "\"digest\":\"sha256:0123456789012345678901234567890123456789012345678901234567890123\","
        "\"package\":\"packages/greeter_1_all.deb\"}";
    _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT;
    _cleanup_error_ Error err = {0};
    Place *place = *state;
    unsigned number = 0;

    make_package(place, NULL);
    assert_int_equal(
        file_replace(place->fd, "made/release.json", release, strlen(release), 0644, NULL), 0);
    assert_int_equal(unpack(place, &package, &number, &err), KEPT_PACKAGE_BAD);
    assert_non_null(strstr(error_text(&err), "it has no image, but 'packages/greeter_1_all.deb'"));
}

static void what_is_no_archive_is_bad(void **state)
{
    _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT;
    _cleanup_error_ Error err = {0};
    _cleanup_fd_ int fd = -1;
    Place *place = *state;
    unsigned number = 0;

    assert_int_equal(file_replace(place->fd, "junk", "not an archive\n", 15, 0600, NULL), 0);
    fd = openat(place->fd, "junk", O_RDONLY | O_CLOEXEC);
    assert_int_equal(releases_make(&place->releases, &number, NULL), 0);
    assert_int_equal(kept_package_unpack(&place->releases, number, fd, &package, &err),
                     KEPT_PACKAGE_BAD);
}

static const char env_text[] = "{\"A\":\"1\",\"B\":\"x=y\",\"EMPTY\":\"\"}";

static void names_come_from_release_and_image(void **state)
{
    _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT;
    _cleanup_json_ Json *names = NULL, *env = NULL;
    Place *place = *state;
    unsigned number = 0;
    char image[256];

    make_package(place, NULL);
    assert_int_equal(unpack(place, &package, &number, NULL), 0);
    assert_int_equal(kept_package_names(&package, "prod", "c1", &names, NULL), 0);
    assert_string_equal(json_get_string(names, "name"), "greeter");
    assert_string_equal(json_get_string(names, "version"), "1.2");
    assert_string_equal(json_get_string(names, "environment"), "prod");
    assert_string_equal(json_get_string(names, "call"), "c1");
    assert_string_equal(json_get_string(names, "workingDirectory"), "/app");
    assert_false(json_has(names, "root")); /* it was not unpacked: nobody may name it */
    (void)snprintf(image, sizeof(image), "greeter@%s", package.release.digest);
    assert_string_equal(json_get_string(names, "image"), image);
    names = json_unref(names);
    package.release.reference = strdup("registry.example/greeter@sha256:d");
    assert_int_equal(kept_package_names(&package, "prod", "c1", &names, NULL), 0);
    assert_string_equal(json_get_string(names, "image"), package.release.reference);
    assert_int_equal(json_length(json_get(names, "command")), 3);
    assert_string_equal(json_as_string(json_at(json_get(names, "command"), 2)), "serve");
    assert_int_equal(json_parse(env_text, sizeof(env_text) - 1, &env, NULL), 0);
    assert_true(json_equal(json_get(names, "env"), env));
}

static void the_template_is_the_packages_or_the_engines(void **state)
{
    static const struct {
        const char *template;
        const char *text; /* NULL: an error */
    } cases[] = {
        {NULL, "fallback"},
        {"deploy/service.json", "{\"id\":1}"},
        {"deploy/other.json", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_kept_package_ KeptPackage package = KEPT_PACKAGE_INIT;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
        _cleanup_error_ Error err = {0};
        const char *file = "?";
        unsigned number = 0;
        Place *place;
        int r;

        (void)set_up(state);
        place = *state;
        make_package(place, cases[i].template);
        assert_int_equal(unpack(place, &package, &number, NULL), 0);
        r = kept_package_read_template(&package, "fallback", &text, &file, &err);
        assert_int_equal(r < 0, !cases[i].text);
        if (cases[i].text) {
            assert_string_equal(buffer_text(&text), cases[i].text);
            assert_int_equal(file == NULL, cases[i].template == NULL);
        } else {
            assert_non_null(strstr(error_text(&err), "deploy/other.json"));
        }
        (void)tear_down(state);
    }
}

#define with_place(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_place(a_package_is_unpacked_and_opened_again),
        cmocka_unit_test(what_was_tampered_with_is_bad),
        with_place(what_has_no_image_is_not_deployed),
        with_place(what_is_no_archive_is_bad),
        with_place(names_come_from_release_and_image),
        cmocka_unit_test(the_template_is_the_packages_or_the_engines),
    };

    return cmocka_run_group_tests_name("kept-package", tests, NULL, NULL);
}
