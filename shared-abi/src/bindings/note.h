/* A kernel's note, once in a kernel:
 *
 *     HANDOFF_NOTE();
 *     HANDOFF_NOTE(.stack_size = 0x40000);
 *
 * Terms that are not named are as for a kernel that takes everything as it comes. In C++ the terms stand in the order of
 * their fields. */
struct handoff_note_record {
    uint32_t name_size, descriptor_size, type;
    char name[8];
    struct handoff_note note;
} __attribute__((packed, aligned(4)));
HANDOFF_ASSERT(sizeof(struct handoff_note_record) == 20 + HANDOFF_NOTE_SIZE);

#if defined(__cplusplus)
struct handoff_terms {
    uint64_t required = 0, wanted = HANDOFF_WANTED_SLIDE, stack_size = 0, direct_map_offset = HANDOFF_NOTE_ANY_OFFSET;
    uint64_t contiguous_alignment = 0;
};
constexpr handoff_note_record handoff_note_of(handoff_terms terms)
{
    return { 8, HANDOFF_NOTE_SIZE, HANDOFF_NOTE_TYPE, { 'H', 'a', 'n', 'd', 'o', 'f', 'f', 0 },
        { HANDOFF_ABI_MAJOR, 0, 4096, terms.required, terms.wanted, terms.stack_size, HANDOFF_NOTE_EL1,
            terms.direct_map_offset, terms.contiguous_alignment } };
}
#define HANDOFF_NOTE(...) \
    extern "C" __attribute__((section(".note.handoff"), used)) const handoff_note_record handoff_note_record_ = \
        handoff_note_of(handoff_terms { __VA_ARGS__ })
#else
#define HANDOFF_NOTE(...) \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverride-init\"") \
    __attribute__((section(".note.handoff"), used)) const struct handoff_note_record handoff_note_record_ = { \
        8, HANDOFF_NOTE_SIZE, HANDOFF_NOTE_TYPE, { 'H', 'a', 'n', 'd', 'o', 'f', 'f', 0 }, \
        { .abi_major = HANDOFF_ABI_MAJOR, .granule = 4096, .wanted = HANDOFF_WANTED_SLIDE, \
            .exception_levels = HANDOFF_NOTE_EL1, .direct_map_offset = HANDOFF_NOTE_ANY_OFFSET, __VA_ARGS__ } }; \
    _Pragma("GCC diagnostic pop") HANDOFF_ASSERT(1)
#endif
