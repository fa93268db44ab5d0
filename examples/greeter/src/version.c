#include "version.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BUILD_ID_MAX = 32 };

const char *program_version(void)
{
    return GREETER_VERSION;
}

static size_t padded(size_t length)
{
    return (length + 3) & ~(size_t)3;
}

static void find_in_notes(const char *at, const char *end, char *text)
{
    while (at + sizeof(ElfW(Nhdr)) <= end) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof note);
        const char *name = at + sizeof note;
        const unsigned char *value = (const unsigned char *)name + padded(note.n_namesz);
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            for (size_t i = 0; i < note.n_descsz && i < BUILD_ID_MAX; i++)
                snprintf(text + 2 * i, 3, "%02x", value[i]);
            return;
        }
        at = (const char *)value + padded(note.n_descsz);
    }
}

static int look_at_first_object(struct dl_phdr_info *object, size_t size, void *text)
{
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_NOTE)
            continue;
        const char *notes = (const char *)(uintptr_t)(object->dlpi_addr + segment->p_vaddr);
        find_in_notes(notes, notes + segment->p_memsz, text);
    }
    return 1; /* the first object is the program itself */
}

const char *program_build(void)
{
    static char text[2 * BUILD_ID_MAX + 1];
    if (!*text)
        dl_iterate_phdr(look_at_first_object, text);
    return *text ? text : "unknown";
}
