/*
 * What a kernel calls. No function needs a library, writable memory of its own, or an address that is not
 * relative: it works in the first line of a kernel, at any address.
 */

/* What `handoff_open` found to be whole. */
struct handoff {
    const struct handoff_header *header;
    const unsigned char *strings;
    uint32_t strings_length;
};

/* Copies bytes; the compiler is kept from calling a memcpy that is not there. */
static inline void handoff_copy(void *to, const void *from, uint64_t length)
{
    unsigned char *out = (unsigned char *)to;
    const unsigned char *in = (const unsigned char *)from;
    while (length--) {
        *out++ = *in++;
        __asm__ volatile("" ::: "memory");
    }
}

/* CRC-32C of `length` bytes behind those that gave `crc` (0 before the first). */
static inline uint32_t handoff_crc32c(uint32_t crc, const void *bytes, uint64_t length)
{
    const unsigned char *at = (const unsigned char *)bytes;
    crc = ~crc;
    while (length--) {
        crc ^= *at++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82F63B78 & (0u - (crc & 1)));
    }
    return ~crc;
}

/* The directory's entry `index`, by the stride that the header states. */
static inline const struct handoff_directory_entry *handoff_entry(const struct handoff_header *header, uint32_t index)
{
    const unsigned char *directory = (const unsigned char *)header + header->directory_offset;
    return (const struct handoff_directory_entry *)(directory + (uint64_t)index * header->directory_stride);
}

/* The table `id`, and in `count` and `stride` how many records it has and how far they lie apart; NULL if it is not there.
 * A table of bytes has a stride of 1. */
static inline const void *handoff_table(const struct handoff *h, uint32_t id, uint32_t *count, uint32_t *stride)
{
    for (uint32_t index = 0; index < h->header->directory_count; index++) {
        const struct handoff_directory_entry *entry = handoff_entry(h->header, index);
        if (entry->id == id) {
            *count = entry->count;
            *stride = entry->stride;
            return (const unsigned char *)h->header + entry->offset;
        }
    }
    *count = 0;
    *stride = 0;
    return (const void *)0;
}

/* Checks what the loader handed over in x0: 0, or the number of the error (docs/errors.md). The blob may lie anywhere at a
 * multiple of 8. */
static inline int handoff_open(const void *boot_info, struct handoff *h)
{
    const struct handoff_header *header = (const struct handoff_header *)boot_info;
    const unsigned char *bytes = (const unsigned char *)boot_info;
    uint32_t crc, count, stride, total = header->total_size;
    uint64_t length;

    if (header->magic != HANDOFF_MAGIC)
        return HANDOFF_ERROR_MAGIC;
    if (header->abi_major != HANDOFF_ABI_MAJOR)
        return HANDOFF_ERROR_ABI_MAJOR;
    if (header->header_size < sizeof(struct handoff_header))
        return HANDOFF_ERROR_HEADER_SIZE;
    if (total < header->header_size || total > HANDOFF_BOOT_INFO_MAX || total % 8)
        return HANDOFF_ERROR_TOTAL_SIZE;
    crc = handoff_crc32c(0, bytes, HANDOFF_HEADER_CHECKSUM);
    crc = handoff_crc32c(crc, bytes + HANDOFF_HEADER_CHECKSUM + 4, total - HANDOFF_HEADER_CHECKSUM - 4);
    if (crc != header->checksum)
        return HANDOFF_ERROR_CHECKSUM;
    stride = header->directory_stride;
    if (stride < sizeof(struct handoff_directory_entry) || stride % 8)
        return HANDOFF_ERROR_DIRECTORY_STRIDE;
    length = (uint64_t)header->directory_count * stride;
    if (header->directory_offset % 8 || header->directory_offset + length > total)
        return HANDOFF_ERROR_DIRECTORY_OFFSET;
    for (uint32_t index = 0; index < header->directory_count; index++) {
        const struct handoff_directory_entry *entry = handoff_entry(header, index);
        if (entry->offset % 8 || entry->offset + (uint64_t)entry->count * entry->stride > total)
            return HANDOFF_ERROR_TABLE_OFFSET;
        if ((entry->flags & HANDOFF_DIRECTORY_ENTRY_FLAGS_MUST_UNDERSTAND) && entry->id > HANDOFF_TABLE_LAST)
            return HANDOFF_ERROR_TABLE_UNKNOWN;
    }
    h->header = header;
    h->strings = (const unsigned char *)0;
    h->strings_length = 0;
    h->strings = (const unsigned char *)handoff_table(h, HANDOFF_TABLE_STRINGS, &count, &stride);
    h->strings_length = count;
    return 0;
}

/* Where a walk over a table's records is. */
struct handoff_cursor {
    const unsigned char *at;
    uint32_t left;
    uint32_t stride;
};

static inline struct handoff_cursor handoff_begin(const struct handoff *h, uint32_t id)
{
    struct handoff_cursor cursor;
    cursor.at = (const unsigned char *)handoff_table(h, id, &cursor.left, &cursor.stride);
    return cursor;
}

/* Copies the next record: as much of it as both the loader and this header know, zeros behind. 0 at the end. */
static inline int handoff_next(struct handoff_cursor *cursor, void *record, uint64_t size)
{
    uint64_t known = cursor->stride < size ? cursor->stride : size;
    unsigned char *rest = (unsigned char *)record + known;
    if (!cursor->left)
        return 0;
    handoff_copy(record, cursor->at, known);
    for (uint64_t index = known; index < size; index++) {
        *rest++ = 0;
        __asm__ volatile("" ::: "memory");
    }
    cursor->at += cursor->stride;
    cursor->left--;
    return 1;
}

/* Each record of a table in order, copied to `record`, which is declared before:
 *
 *     struct handoff_memory_region region;
 *     HANDOFF_FOR_EACH(&h, HANDOFF_TABLE_MEMORY_MAP, region) { ... }
 */
#define HANDOFF_FOR_EACH(h, id, record) \
    for (struct handoff_cursor handoff_cursor_##record = handoff_begin((h), (id)); \
         handoff_next(&handoff_cursor_##record, &(record), sizeof(record));)

/* The first record of a table, for those that have one; 0 if the table is not there. */
static inline int handoff_first(const struct handoff *h, uint32_t id, void *record, uint64_t size)
{
    struct handoff_cursor cursor = handoff_begin(h, id);
    return handoff_next(&cursor, record, size);
}

/* Whether the kernel may use a region of this kind from its first instruction on. A kind that is not known is never free. */
static inline int handoff_is_free(uint32_t kind)
{
    return kind < 64 && ((uint64_t)HANDOFF_MEMORY_FREE_AT_ENTRY >> kind & 1);
}

/* The text of a string that a record names, UTF-8 and closed by a NUL; "" if the record names none. */
static inline const char *handoff_string(const struct handoff *h, struct handoff_string_ref string)
{
    if (!string.length || (uint64_t)string.offset + string.length >= h->strings_length)
        return "";
    return (const char *)h->strings + string.offset;
}

/* The command line, closed by a NUL; "" if there is none. */
static inline const char *handoff_command_line(const struct handoff *h)
{
    uint32_t count, stride;
    const void *text = handoff_table(h, HANDOFF_TABLE_COMMAND_LINE, &count, &stride);
    return count ? (const char *)text : "";
}

/* Where the direct map has a physical address. Only RAM whose kind is mapped is there. */
static inline void *handoff_virt(const struct handoff *h, uint64_t phys)
{
    struct handoff_direct_map map;
    if (!handoff_first(h, HANDOFF_TABLE_DIRECT_MAP, &map, sizeof(map)))
        return (void *)0;
    return (void *)(uintptr_t)(map.virt_offset + phys);
}

static inline uint32_t handoff_uart_read(const struct handoff_console *console, uint64_t offset)
{
    uintptr_t address = (uintptr_t)(console->virt_base + offset);
    if (console->access_width == 1)
        return *(volatile uint8_t *)address;
    if (console->access_width == 2)
        return *(volatile uint16_t *)address;
    return *(volatile uint32_t *)address;
}

static inline void handoff_uart_write(const struct handoff_console *console, uint64_t offset, uint32_t value)
{
    uintptr_t address = (uintptr_t)(console->virt_base + offset);
    if (console->access_width == 1)
        *(volatile uint8_t *)address = (uint8_t)value;
    else if (console->access_width == 2)
        *(volatile uint16_t *)address = (uint16_t)value;
    else
        *(volatile uint32_t *)address = value;
}

static inline void handoff_send(
    const struct handoff_console *console, uint64_t data, uint64_t status, uint32_t mask, uint32_t ready, char byte)
{
    /* A dead port does not hang a kernel. */
    for (uint32_t patience = 1u << 20; patience; patience--) {
        if ((handoff_uart_read(console, status) & mask) == ready) {
            handoff_uart_write(console, data, (unsigned char)byte);
            return;
        }
    }
}

/* Writes text to the console that the loader speaks on, a carriage return before each line feed; nothing without one. */
static inline void handoff_write(const struct handoff *h, const char *text)
{
    struct handoff_console console;
    const struct handoff_uart *port = (const struct handoff_uart *)0;
    uint32_t shift;

    if (!handoff_first(h, HANDOFF_TABLE_CONSOLE, &console, sizeof(console)))
        return;
    for (uint32_t index = 0; index < sizeof(handoff_uarts) / sizeof(handoff_uarts[0]); index++)
        if (handoff_uarts[index].kind == console.kind)
            port = &handoff_uarts[index];
    if (!port)
        return;
    shift = port->spread ? console.register_shift : 0;
    if (port->clear | port->set) {
        uint32_t control = handoff_uart_read(&console, port->control);
        handoff_uart_write(&console, port->control, (control & ~port->clear) | port->set);
    }
    for (; *text; text++) {
        if (*text == '\n')
            handoff_send(&console, (uint64_t)port->data << shift, (uint64_t)port->status << shift, port->mask,
                port->ready, '\r');
        handoff_send(&console, (uint64_t)port->data << shift, (uint64_t)port->status << shift, port->mask, port->ready,
            *text);
    }
}

/* Writes a number in hexadecimal, 16 digits behind 0x. */
static inline void handoff_write_hex(const struct handoff *h, uint64_t number)
{
    char text[19];
    text[0] = '0';
    text[1] = 'x';
    for (int digit = 0; digit < 16; digit++) {
        unsigned value = (unsigned)(number >> (60 - 4 * digit)) & 15;
        text[2 + digit] = (char)(value < 10 ? '0' + value : 'a' + value - 10);
    }
    text[18] = 0;
    handoff_write(h, text);
}

#if defined(__aarch64__)
/* A call of firmware by `psci_conduit` of the platform record: what it returned in x0, -1 without firmware. */
static inline int64_t handoff_psci(uint32_t conduit, uint64_t function, uint64_t one, uint64_t two, uint64_t three)
{
    register uint64_t x0 __asm__("x0") = function;
    register uint64_t x1 __asm__("x1") = one;
    register uint64_t x2 __asm__("x2") = two;
    register uint64_t x3 __asm__("x3") = three;
#define HANDOFF_CLOBBERED "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "memory"
    if (conduit == HANDOFF_PLATFORM_PSCI_CONDUIT_SMC)
        __asm__ volatile("smc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : HANDOFF_CLOBBERED);
    else if (conduit == HANDOFF_PLATFORM_PSCI_CONDUIT_HVC)
        __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : HANDOFF_CLOBBERED);
    else
        return -1;
#undef HANDOFF_CLOBBERED
    return (int64_t)x0;
}

/* Ends the machine with a verdict, good if `code` is 0: said on the console, and given to whoever started the machine where
 * `exit` of the platform record is semihosting. */
#if defined(__cplusplus)
[[noreturn]]
#else
__attribute__((noreturn))
#endif
static inline void handoff_end(const struct handoff *h, uint32_t code)
{
    struct handoff_platform platform;
    char digits[11];
    int first = 10;

    handoff_write(h, HANDOFF_VERDICT_PREFIX);
    if (code) {
        digits[first] = 0;
        for (uint32_t rest = code; rest; rest /= 10)
            digits[--first] = (char)('0' + rest % 10);
        handoff_write(h, "bad ");
        handoff_write(h, digits + first);
    } else {
        handoff_write(h, "good");
    }
    handoff_write(h, "\n");
    if (handoff_first(h, HANDOFF_TABLE_PLATFORM, &platform, sizeof(platform))) {
        if (platform.exit == HANDOFF_PLATFORM_EXIT_SEMIHOSTING) {
            uint64_t block[2];
            register uint64_t x0 __asm__("x0") = HANDOFF_SEMIHOSTING_EXIT;
            register uint64_t *x1 __asm__("x1") = block;
            block[0] = HANDOFF_SEMIHOSTING_APPLICATION_EXIT;
            block[1] = code ? HANDOFF_SUBCODE_BAD : HANDOFF_SUBCODE_GOOD;
            __asm__ volatile("hlt #0xF000" : "+r"(x0) : "r"(x1) : "memory");
        }
        if (platform.exit != HANDOFF_PLATFORM_EXIT_NONE)
            handoff_psci(platform.psci_conduit, HANDOFF_PSCI_SYSTEM_OFF, 0, 0, 0);
    }
    for (;;)
        __asm__ volatile("wfi");
}
#endif
