/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-arch.h"

#include "protocol/base/fd.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define NOARCH "noarch"

/* e_machine stands at the same place in both classes. */
#define HEAD_SIZE (offsetof(Elf32_Ehdr, e_machine) + sizeof(Elf32_Half))

static const struct {
    unsigned machine;
    unsigned char class, data;
    const char *arch;
} machines[] = {
    {EM_X86_64, ELFCLASS64, ELFDATA2LSB, "x86_64"},
    {EM_AARCH64, ELFCLASS64, ELFDATA2LSB, "aarch64"},
    {EM_PPC64, ELFCLASS64, ELFDATA2LSB, "ppc64le"},
    {EM_S390, ELFCLASS64, ELFDATA2MSB, "s390x"},
    {EM_RISCV, ELFCLASS64, ELFDATA2LSB, "riscv64"},
    {EM_386, ELFCLASS32, ELFDATA2LSB, "i686"},
    {EM_ARM, ELFCLASS32, ELFDATA2LSB, "armv7hl"},
};

/* 1: it is ELF; *ret is NULL for a machine that is not in the table. */
static int read_arch(int workspace_fd, const char *name, const char **ret, Error *err)
{
    _cleanup_fd_ int fd =
        openat(workspace_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    unsigned char head[HEAD_SIZE];
    uint16_t machine;
    ssize_t n = fd < 0 ? -errno : fd_read_full(fd, head, sizeof(head));

    if (n < 0) {
        return error_set_errno(err, (int)n, "'%s'", name);
    }
    if (n < (ssize_t)sizeof(head) || memcmp(head, ELFMAG, SELFMAG) != 0) {
        return 0;
    }
    memcpy(&machine, head + offsetof(Elf32_Ehdr, e_machine), sizeof(machine));
    machine = head[EI_DATA] == ELFDATA2MSB ? be16toh(machine) : le16toh(machine);
    *ret = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
        if (machines[i].machine == machine && machines[i].class == head[EI_CLASS] &&
            machines[i].data == head[EI_DATA]) {
            *ret = machines[i].arch;
        }
    }
    return 1;
}

/* `first` is the first file that has one, and its `arch`. */
static int compare(const RpmFile *first, const char *arch, const RpmFile *file, const char *other,
                   Error *err)
{
    if (!other) {
        return error_set(err, -EINVAL,
                         "/package/rpm/arch: '%s' is for a machine that is not known here; name "
                         "the package's",
                         file->entry->from);
    }
    if (first && strcmp(arch, other) != 0) {
        return error_set(err, -EINVAL,
                         "/package/rpm/arch: '%s' is for %s, but '%s' for %s; name the package's",
                         first->entry->from, arch, file->entry->from, other);
    }
    return 0;
}

int rpm_arch_find(int workspace_fd, const RpmFiles *files, const char *declared, const char **ret,
                  Error *err)
{
    const RpmFile *first = NULL;
    const char *arch = NOARCH;

    /* Whoever names a machine may pack what is for another one: firmware, a cross compiler. */
    if (declared && strcmp(declared, NOARCH) != 0) {
        *ret = declared;
        return 0;
    }
    for (size_t i = 0; i < files->count; i++) {
        const RpmFile *file = &files->list[i];
        const char *other = NULL;
        int r = file->entry->kind == FILE_MAP_FILE
                    ? read_arch(workspace_fd, file->entry->from, &other, err)
                    : 0;

        if (r > 0 && declared) {
            return error_set(err, -EINVAL,
                             "/package/rpm/arch: '%s' is for one machine alone, so the package "
                             "cannot be " NOARCH,
                             file->entry->from);
        }
        if (r > 0) {
            r = compare(first, arch, file, other, err);
            arch = other;
            first = first ? first : file;
        }
        if (r < 0) {
            return r;
        }
    }
    *ret = arch;
    return 0;
}
