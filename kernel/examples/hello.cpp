/*
 * A kernel in C++: says hello, takes a free page, and writes to it through the direct map.
 *
 *     aarch64-linux-gnu-g++ -std=c++20 -O2 -ffreestanding -nostdlib -static-pie -mgeneral-regs-only \
 *         -fno-stack-protector -fno-exceptions -fno-rtti -I shared-abi/include kernel/examples/hello.cpp -o hello.elf
 *     scripts/run.sh hello.elf
 */
#include "handoff.h"

HANDOFF_NOTE(.stack_size = 0x8000);

namespace {

class Kernel {
public:
    explicit Kernel(const void *boot_info)
    {
        if (handoff_open(boot_info, &handoff_))
            __builtin_trap();
    }

    const Kernel &operator<<(const char *text) const
    {
        handoff_write(&handoff_, text);
        return *this;
    }

    const Kernel &operator<<(uint64_t number) const
    {
        handoff_write_hex(&handoff_, number);
        return *this;
    }

    /* The physical address of a free page; 0 if there is none. */
    uint64_t free_page() const
    {
        handoff_memory_region region;
        HANDOFF_FOR_EACH(&handoff_, HANDOFF_TABLE_MEMORY_MAP, region)
            if (handoff_is_free(region.kind))
                return region.phys_start;
        return 0;
    }

    template <typename T> T *at(uint64_t phys) const
    {
        return static_cast<T *>(handoff_virt(&handoff_, phys));
    }

    [[noreturn]] void end(uint32_t code) const
    {
        handoff_end(&handoff_, code);
    }

private:
    handoff handoff_;
};

}

extern "C" [[noreturn]] void _start(const void *boot_info)
{
    const Kernel kernel(boot_info);
    const auto page = kernel.free_page();
    auto *words = kernel.at<volatile uint64_t>(page);

    kernel << "hello from C++, a free page at " << page << "\n";
    for (unsigned index = 0; index < 512; index++)
        words[index] = index * index;
    for (unsigned index = 0; index < 512; index++)
        if (words[index] != index * index)
            kernel.end(1);
    kernel << "512 words written and read back\n";
    kernel.end(0);
}
