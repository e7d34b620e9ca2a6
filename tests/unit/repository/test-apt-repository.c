/* SPDX-License-Identifier: MIT */
/* That apt takes it is tested in tests/integration/test-deb.py, as is a kill at any moment. Here:
 * the order of writing, and what is built upon when a publication stops after each of its steps. */
#include "agent/package/repository/apt-repository.h"

#include "agent/package/repository/publish-backend.h"
#include "protocol/artifact/digest.h"
#include "tests/unit/repository/gpg-home.h"

#include <errno.h>

#define NOW_US ((int64_t)1764075600 * 1000000)

/* A target that fails from one step on, and tells what was put before. */
typedef struct Failing {
    PublishTarget target;
    PublishTarget *real;
    int steps_left; /* -1: no end */
    Buffer order;
} Failing;

static int may_go_on(Failing *f, const char *name, Error *err)
{
    if (f->steps_left == 0) {
        return error_set(err, -EIO, "stopped");
    }
    f->steps_left -= f->steps_left > 0;
    return buffer_append_format(&f->order, "%s\n", name);
}

static int failing_read(PublishTarget *target, const char *name, Buffer *ret, Error *err)
{
    return publish_target_read(((Failing *)target)->real, name, ret, err);
}

static int failing_put(PublishTarget *target, const char *name, const void *data, size_t n,
                       Error *err)
{
    Failing *f = (Failing *)target;
    int r = may_go_on(f, name, err);

    return r == 0 ? publish_target_put(f->real, name, data, n, err) : r;
}

static int failing_put_file(PublishTarget *target, const char *name, int fd, int64_t size_bytes,
                            Error *err)
{
    Failing *f = (Failing *)target;
    int r = may_go_on(f, name, err);

    return r == 0 ? publish_target_put_file(f->real, name, fd, size_bytes, err) : r;
}

static int failing_remove(PublishTarget *target, const char *name, Error *err)
{
    return publish_target_remove(((Failing *)target)->real, name, err);
}

static const PublishBackend failing_backend = {.read = failing_read,
                                               .put = failing_put,
                                               .put_file = failing_put_file,
                                               .remove = failing_remove};

/* One key for all tests, whose agent stays until they are over: making them takes its time. */
static void *home_scratch;
static GpgHome home;

static int setup_home(void **state)
{
    assert_int_equal(scratch_setup(&home_scratch), 0);
    gpg_home_make(&home, ((Scratch *)home_scratch)->path);
    gpg_home_run(&home, "gpg-connect-agent /bye");
    return 0;
}

static int teardown_home(void **state)
{
    gpg_home_run(&home, "gpgconf --kill gpg-agent");
    assert_true(gpg_home_is_left_alone(&home));
    return scratch_teardown(&home_scratch);
}

typedef struct Fixture {
    Scratch *scratch;
    Failing failing;
    AptRepository repository;
} Fixture;

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));
    char path[96];

    assert_non_null(f);
    assert_int_equal(scratch_setup((void **)&f->scratch), 0);
    (void)snprintf(path, sizeof(path), "%s/apt", f->scratch->path);
    assert_int_equal(publish_target_open(path, NULL, &f->failing.real, NULL), 0);
    f->failing.target =
        (PublishTarget){.backend = &failing_backend, .address = f->failing.real->address};
    f->failing.steps_left = -1;
    f->repository = (AptRepository){
        .target = &f->failing.target, .key = home.key, .suite = "stable", .component = "main"};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    int r;

    (void)publish_target_close(f->failing.real);
    buffer_done(&f->failing.order);
    r = scratch_teardown((void **)&f->scratch);
    free(f);
    return r;
}

static int add(Fixture *f, const char *version, const char *content, AptOutcome *ret, Error *err)
{
    char control[256], file_name[64], sha256[DIGEST_HEX_SIZE];
    _cleanup_fd_ int fd = -1;

    scratch_write_text(f->scratch->fd, "deb", content);
    fd = openat(f->scratch->fd, "deb", O_RDONLY | O_CLOEXEC);
    (void)snprintf(control, sizeof(control), "Package: x1\nVersion: %s\nArchitecture: all\n",
                   version);
    (void)snprintf(file_name, sizeof(file_name), "x1_%s_all.deb", version);
    assert_int_equal(digest_bytes(content, strlen(content), sha256), 0);
    return apt_repository_add(&f->repository,
                              &(AptPackage){.name = "x1",
                                            .version = version,
                                            .architecture = "all",
                                            .control = control,
                                            .file_name = file_name,
                                            .fd = fd,
                                            .size_bytes = (int64_t)strlen(content),
                                            .sha256 = sha256},
                              NOW_US, ret, err);
}

static void must_add(Fixture *f, const char *version, const char *content, AptOutcome wanted)
{
    _cleanup_error_ Error err = {0};
    AptOutcome outcome;

    if (add(f, version, content, &outcome, &err) < 0) {
        fail_msg("%s", error_text(&err));
    }
    assert_int_equal(outcome, wanted);
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, what)); at++) {
        n++;
    }
    return n;
}

static void test_order(void **state)
{
    Fixture *f = *state;
    const char *order;

    must_add(f, "1", "a", APT_PUBLISHED);
    order = buffer_text(&f->failing.order);
    assert_non_null(strstr(order, ".slipway-retired\narchive-key.asc\npool/main/x/x1/x1_1_all.deb\n"
                                  "dists/stable/main/binary-all/by-hash/SHA256/"));
    assert_non_null(strstr(order, "\ndists/stable/main/binary-all/Packages\n"
                                  "dists/stable/main/binary-all/Packages.gz\n"
                                  "dists/stable/Release\ndists/stable/InRelease\n"));
    buffer_clear(&f->failing.order);
    must_add(f, "1", "a", APT_UNCHANGED);
    assert_string_equal(buffer_text(&f->failing.order), "");
}

static void test_another_with_the_same_version(void **state)
{
    Fixture *f = *state;
    _cleanup_error_ Error err = {0};
    AptOutcome outcome;

    must_add(f, "1", "a", APT_PUBLISHED);
    assert_int_equal(add(f, "1", "b", &outcome, &err), -EEXIST);
    assert_non_null(strstr(error_text(&err), "x1 1 (all) is in '"));
    assert_non_null(strstr(error_text(&err), "with other bytes"));
}

/* Stopped after each step in turn, then done again: always the one stanza of each, never half. */
static void test_stopped_anywhere(void **state)
{
    Fixture *f = *state;
    _cleanup_free_ char *packages = NULL;
    int steps = 0;

    must_add(f, "1", "a", APT_PUBLISHED);
    for (;; steps++) {
        _cleanup_error_ Error err = {0};
        AptOutcome outcome;

        f->failing.steps_left = steps;
        if (add(f, "2", "b", &outcome, &err) == 0) {
            assert_int_equal(outcome, APT_PUBLISHED);
            break;
        }
        assert_non_null(strstr(error_text(&err), "stopped"));
    }
    assert_int_equal(steps, 8); /* retired, pool, twice by-hash, twice the index, twice Release */
    f->failing.steps_left = -1;
    must_add(f, "2", "b", APT_UNCHANGED);
    packages = scratch_read(f->scratch->fd, "apt/dists/stable/main/binary-all/Packages", NULL);
    assert_int_equal(count_of(packages, "Package: x1\n"), 2);
}

/* Whoever is older than all others is kept when it is the one that was just added. */
static void test_keep(void **state)
{
    Fixture *f = *state;
    _cleanup_free_ char *packages = NULL;

    f->repository.keep = 2;
    must_add(f, "3", "a", APT_PUBLISHED);
    must_add(f, "2", "b", APT_PUBLISHED);
    must_add(f, "1", "c", APT_PUBLISHED);
    packages = scratch_read(f->scratch->fd, "apt/dists/stable/main/binary-all/Packages", NULL);
    assert_non_null(strstr(packages, "Version: 3\n"));
    assert_null(strstr(packages, "Version: 2\n"));
    assert_non_null(strstr(packages, "Version: 1\n"));
    assert_true(file_exists(f->scratch->fd, "apt/pool/main/x/x1/x1_2_all.deb"));
}

static void test_validity(void **state)
{
    Fixture *f = *state;

    must_add(f, "1", "a", APT_PUBLISHED);
    f->repository.valid_days = 7; /* it said none before: it is signed anew */
    buffer_clear(&f->failing.order);
    must_add(f, "1", "a", APT_UNCHANGED);
    assert_string_equal(buffer_text(&f->failing.order),
                        "dists/stable/Release\ndists/stable/InRelease\n");
    buffer_clear(&f->failing.order);
    must_add(f, "1", "a", APT_UNCHANGED);
    assert_string_equal(buffer_text(&f->failing.order), "");
}

#define with_fixture(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_order),
        with_fixture(test_another_with_the_same_version),
        with_fixture(test_stopped_anywhere),
        with_fixture(test_keep),
        with_fixture(test_validity),
    };

    return cmocka_run_group_tests(tests, setup_home, teardown_home);
}
