
/// An ELF note, alignment 4, that lies in `.note.handoff`:
///
///     export const handoff_note linksection(".note.handoff") = handoff.NoteRecord.of(.{ .stack_size = 0x8000 });
pub const NoteRecord = extern struct {
    name_size: u32 = 8,
    descriptor_size: u32 = NOTE_SIZE,
    note_type: u32 = NOTE_TYPE,
    name: [8]u8 = "Handoff\x00".*,
    descriptor: [NOTE_SIZE / 4]u32,

    /// What a kernel may ask for; it takes everything as it comes without a word.
    pub const Terms = struct {
        required: u64 = 0,
        wanted: u64 = WANTED_SLIDE,
        stack_size: u64 = 0,
        direct_map_offset: u64 = NOTE_ANY_OFFSET,
        contiguous_alignment: u64 = 0,
    };

    pub fn of(comptime terms: Terms) NoteRecord {
        const numbers = [_]u64{
            terms.required, terms.wanted,            terms.stack_size,
            NOTE_EL1,       terms.direct_map_offset, terms.contiguous_alignment,
        };
        var words: [NOTE_SIZE / 4]u32 = @splat(0);
        words[0] = ABI_MAJOR;
        words[1] = 4096;
        for (numbers, 1..) |number, index| {
            words[2 * index] = @truncate(number);
            words[2 * index + 1] = @truncate(number >> 32);
        }
        return .{ .descriptor = words };
    }
};

/// Whether the kernel may use a region of this kind from its first instruction on. A kind that is not known is never free.
pub fn isFree(kind: u32) bool {
    return kind < 64 and @as(u64, MEMORY_FREE_AT_ENTRY) >> @intCast(kind) & 1 != 0;
}

/// What is wrong with a `BootInfo`; docs/errors.md has a number for each.
pub const Error = error{ Magic, AbiMajor, HeaderSize, TotalSize, Checksum, DirectoryStride, DirectoryOffset, TableOffset, TableUnknown };

/// CRC-32C of `bytes` behind those that gave `before`.
fn crc32c(before: u32, bytes: []const u8) u32 {
    var crc = ~before;
    for (bytes) |byte| {
        crc ^= byte;
        for (0..8) |_| crc = crc >> 1 ^ (0x82F63B78 & (0 -% (crc & 1)));
    }
    return ~crc;
}

/// A `BootInfo` that was found whole.
pub const BootInfo = struct {
    bytes: []const u8,
    header: *const Header,

    /// Checks what the loader handed over in x0.
    pub fn open(boot_info: [*]align(8) const u8) Error!BootInfo {
        const header: *const Header = @ptrCast(boot_info);
        if (header.magic != MAGIC) return error.Magic;
        if (header.abi_major != ABI_MAJOR) return error.AbiMajor;
        if (header.header_size < HEADER_SIZE) return error.HeaderSize;
        const total = header.total_size;
        if (total < header.header_size or total > BOOT_INFO_MAX or total % 8 != 0) return error.TotalSize;
        const bytes = boot_info[0..total];
        const crc = crc32c(crc32c(0, bytes[0..@offsetOf(Header, "checksum")]), bytes[@offsetOf(Header, "checksum") + 4 ..]);
        if (crc != header.checksum) return error.Checksum;
        const stride = header.directory_stride;
        if (stride < DIRECTORY_ENTRY_SIZE or stride % 8 != 0) return error.DirectoryStride;
        const length = @as(u64, header.directory_count) * stride;
        if (header.directory_offset % 8 != 0 or header.directory_offset + length > total) return error.DirectoryOffset;
        const info = BootInfo{ .bytes = bytes, .header = header };
        for (0..header.directory_count) |index| {
            const found = info.entry(index);
            const past = found.offset + @as(u64, found.count) * found.stride;
            if (found.offset % 8 != 0 or past > total) return error.TableOffset;
            if (found.flags & DIRECTORY_ENTRY_FLAGS_MUST_UNDERSTAND != 0 and found.id > TABLE_LAST) return error.TableUnknown;
        }
        return info;
    }

    fn entry(self: BootInfo, index: usize) *const DirectoryEntry {
        return @ptrCast(@alignCast(&self.bytes[self.header.directory_offset + index * self.header.directory_stride]));
    }

    fn table(self: BootInfo, id: u32) ?*const DirectoryEntry {
        for (0..self.header.directory_count) |index| {
            const found = self.entry(index);
            if (found.id == id) return found;
        }
        return null;
    }

    /// The bytes of a table of bytes; empty if it is not there.
    pub fn text(self: BootInfo, id: u32) []const u8 {
        const found = self.table(id) orelse return "";
        return self.bytes[found.offset..][0..found.count];
    }

    /// The records of a table, in order; none if it is not there. A record that is longer than this file knows is cut, a
    /// shorter one filled with zeros.
    pub fn records(self: BootInfo, comptime Record: type, id: u32) Records(Record) {
        const found = self.table(id) orelse return .{ .bytes = "", .stride = 1, .left = 0 };
        return .{ .bytes = self.bytes[found.offset..], .stride = found.stride, .left = found.count };
    }

    /// A string that a record names, without the NUL that follows it.
    pub fn string(self: BootInfo, ref: StringRef) []const u8 {
        const strings = self.text(TABLE_STRINGS);
        const past = @as(u64, ref.offset) + ref.length;
        return if (past > strings.len) "" else strings[ref.offset..past];
    }

    /// Where the direct map has a physical address.
    pub fn virt(self: BootInfo, phys: u64) ?[*]u8 {
        var maps = self.records(DirectMap, TABLE_DIRECT_MAP);
        const map = maps.next() orelse return null;
        return @ptrFromInt(map.virt_offset +% phys);
    }

    /// Writes to the console that the loader speaks on, a carriage return before each line feed; nothing without one.
    pub fn write(self: BootInfo, words: []const u8) void {
        var consoles = self.records(Console, TABLE_CONSOLE);
        const console = consoles.next() orelse return;
        const port = for (uarts) |uart| {
            if (uart.kind == console.kind) break uart;
        } else return;
        const shift: u5 = if (port.spread) @truncate(console.register_shift) else 0;
        if (port.clear | port.set != 0) store(console, port.control, load(console, port.control) & ~port.clear | port.set);
        for (words) |byte| {
            if (byte == '\n') send(console, port, shift, '\r');
            send(console, port, shift, byte);
        }
    }

    /// Ends the machine with a verdict, good if `code` is 0.
    pub fn end(self: BootInfo, code: u32) noreturn {
        self.write(VERDICT_PREFIX);
        if (code == 0) {
            self.write("good\n");
        } else {
            var digits: [10]u8 = undefined;
            var first: usize = digits.len;
            var rest = code;
            while (rest != 0) : (rest /= 10) {
                first -= 1;
                digits[first] = '0' + @as(u8, @intCast(rest % 10));
            }
            self.write("bad ");
            self.write(digits[first..]);
            self.write("\n");
        }
        var platforms = self.records(Platform, TABLE_PLATFORM);
        if (platforms.next()) |platform| {
            if (platform.exit == PLATFORM_EXIT_SEMIHOSTING) {
                const block = [2]u64{ SEMIHOSTING_APPLICATION_EXIT, if (code == 0) SUBCODE_GOOD else SUBCODE_BAD };
                asm volatile ("hlt #0xF000"
                    :
                    : [operation] "{x0}" (@as(u64, SEMIHOSTING_EXIT)),
                      [block] "{x1}" (&block),
                    : .{ .memory = true });
            }
            const off: u64 = PSCI_SYSTEM_OFF;
            if (platform.psci_conduit == PLATFORM_PSCI_CONDUIT_SMC)
                asm volatile (".inst 0xd4000003" // smc #0, of which the assembler wants to be told that there is EL3
                    :
                    : [function] "{x0}" (off),
                    : .{ .memory = true });
            if (platform.psci_conduit == PLATFORM_PSCI_CONDUIT_HVC)
                asm volatile (".inst 0xd4000002" // hvc #0
                    :
                    : [function] "{x0}" (off),
                    : .{ .memory = true });
        }
        while (true) asm volatile ("wfi");
    }
};

/// A walk over the records of a table.
pub fn Records(comptime Record: type) type {
    return struct {
        bytes: []const u8,
        stride: u32,
        left: u32,

        pub fn next(self: *@This()) ?Record {
            if (self.left == 0) return null;
            var record: Record = undefined;
            const known = @min(self.stride, @sizeOf(Record));
            const to: *[@sizeOf(Record)]u8 = @ptrCast(&record);
            for (to, 0..) |*byte, index| byte.* = if (index < known) self.bytes[index] else 0;
            self.left -= 1;
            self.bytes = self.bytes[self.stride..];
            return record;
        }
    };
}

fn load(console: Console, offset: u64) u32 {
    const address = console.virt_base + offset;
    return switch (console.access_width) {
        1 => @as(*volatile u8, @ptrFromInt(address)).*,
        2 => @as(*volatile u16, @ptrFromInt(address)).*,
        else => @as(*volatile u32, @ptrFromInt(address)).*,
    };
}

fn store(console: Console, offset: u64, value: u32) void {
    const address = console.virt_base + offset;
    switch (console.access_width) {
        1 => @as(*volatile u8, @ptrFromInt(address)).* = @truncate(value),
        2 => @as(*volatile u16, @ptrFromInt(address)).* = @truncate(value),
        else => @as(*volatile u32, @ptrFromInt(address)).* = value,
    }
}

fn send(console: Console, port: Uart, shift: u5, byte: u8) void {
    // A dead port does not hang a kernel.
    for (0..1 << 20) |_| {
        if (load(console, @as(u64, port.status) << shift) & port.mask == port.ready)
            return store(console, @as(u64, port.data) << shift, byte);
    }
}
