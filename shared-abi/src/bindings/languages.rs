//! The same facts in C, in the GNU assembler's words, and in Zig.

use std::fmt::Write;

use super::facts::{Facts, Structure, Type};
use crate::uart::UartKind;
use crate::verdict::VERDICT_PREFIX;

const LICENCE: &str =
    "Handoff's ABI. MIT licence. Written from the declarations in shared-abi: do not change it by hand.";

/// Lines of at most 110 columns behind `prefix`.
fn wrapped(prefix: &str, words: &str) -> String {
    let mut text = String::new();
    let mut line = String::new();
    for word in words.split(' ') {
        if !line.is_empty() && prefix.len() + line.len() + word.len() >= 110 {
            text.push_str(&format!("{prefix}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text + &format!("{prefix}{line}\n")
}

fn number(value: u64) -> String {
    if value < 0x1000 { value.to_string() } else { format!("{value:#x}") }
}

/// Every number, and the offsets and sizes of the records, as `line` writes one.
fn numbers(facts: &Facts, comment: &str, line: impl Fn(&str, &str) -> String) -> String {
    let mut text = String::new();
    for group in &facts.groups {
        text.push('\n');
        text.push_str(&wrapped(comment, &group.words));
        for constant in &group.numbers {
            text.push_str(&line(&constant.name, &number(constant.value)));
        }
    }
    for record in &facts.structures {
        let name = record.name.to_uppercase();
        text.push('\n');
        text.push_str(&wrapped(comment, &format!("Where the fields of a `{}` are.", record.name)));
        text.push_str(&line(&format!("{name}_SIZE"), &number(record.size as u64)));
        for field in &record.fields {
            text.push_str(&line(
                &format!("{name}_{}", field.name.to_uppercase()),
                &number(field.offset as u64),
            ));
        }
    }
    text
}

fn c_structure(record: &Structure) -> String {
    let mut text = format!("/* {} */\nstruct handoff_{} {{\n", record.words, record.name);
    for field in &record.fields {
        let (name, words) = (field.name, &field.words);
        let declared = match field.of {
            Type::Number(bytes) => format!("uint{}_t {name};", bytes * 8),
            Type::Array { bytes, count } => format!("uint{}_t {name}[{count}];", bytes * 8),
            Type::Text => format!("struct handoff_string_ref {name};"),
        };
        writeln!(text, "    {declared:<48} /* {words} */").unwrap();
    }
    text.push_str("};\n");
    writeln!(text, "HANDOFF_ASSERT(sizeof(struct handoff_{}) == {});", record.name, record.size).unwrap();
    for field in &record.fields {
        let (record, name, offset) = (&record.name, field.name, field.offset);
        writeln!(text, "HANDOFF_ASSERT(offsetof(struct handoff_{record}, {name}) == {offset});").unwrap();
    }
    text
}

fn c_uarts() -> String {
    let mut text = String::from(
        "/* How each kind of port is driven: a byte goes to `data` while `status` & `mask` is `ready`; before the first\n \
         * byte `clear` and `set` change `control`. `spread`: `data` and `status` are register numbers, \n \
         * `register_shift` of the console says how far registers lie apart. */\n\
         struct handoff_uart {\n    uint32_t kind, data, status, spread, mask, ready, control, clear, set;\n};\n\
         static const struct handoff_uart handoff_uarts[] = {\n",
    )
    .replace(", \n", ",\n");
    for kind in UartKind::ALL {
        let model = kind.model();
        let (control, clear, set) =
            model.enable.as_ref().map_or((0, 0, 0), |enable| (enable.register, enable.clear, enable.set));
        writeln!(
            text,
            "    {{ {}, {:#x}, {:#x}, {}, {:#x}, {:#x}, {control:#x}, {clear:#x}, {set:#x} }}, /* {} */",
            *kind as u32,
            model.data,
            model.status,
            u32::from(model.spread),
            model.mask,
            model.ready,
            kind.name()
        )
        .unwrap();
    }
    text + "};\n"
}

pub fn c(facts: &Facts) -> String {
    let defines = numbers(facts, " * ", |name, value| format!("#define HANDOFF_{name} {value}\n"));
    // A comment's lines stand between its marks.
    let mut commented = String::new();
    let mut inside = false;
    for line in defines.lines() {
        let comments = line.starts_with(" * ");
        if comments != inside {
            commented.push_str(if comments { "/*\n" } else { " */\n" });
            inside = comments;
        }
        commented.push_str(line);
        commented.push('\n');
    }
    let structures: String = facts.structures.iter().map(|record| c_structure(record) + "\n").collect();
    format!(
        "/* {LICENCE}\n *\n * For C11, C++20 and preprocessed assembly. Needs stdint.h and stddef.h; links with nothing.\n \
         * The contract is docs/contract.md. */\n\
         #ifndef HANDOFF_H\n#define HANDOFF_H\n{commented}\n#define HANDOFF_VERDICT_PREFIX \"{VERDICT_PREFIX}\"\n\n\
         #ifndef __ASSEMBLER__\n#include <stddef.h>\n#include <stdint.h>\n\n\
         #if defined(__cplusplus)\n#define HANDOFF_ASSERT(holds) static_assert(holds, \"ABI\")\n#else\n\
         #define HANDOFF_ASSERT(holds) _Static_assert(holds, \"ABI\")\n#endif\n\n\
         /* A string: where it begins in the strings table, and its bytes without the NUL that follows it. */\n\
         struct handoff_string_ref {{\n    uint32_t offset;\n    uint32_t length;\n}};\n\n{structures}{}\n{}\n{}\
         #endif /* __ASSEMBLER__ */\n#endif /* HANDOFF_H */\n",
        c_uarts(),
        include_str!("note.h"),
        include_str!("functions.h"),
    )
}

pub fn assembly(facts: &Facts) -> String {
    let equates = numbers(facts, "// ", |name, value| format!(".equ HANDOFF_{name}, {value}\n"));
    format!("// {LICENCE}\n// The contract is docs/contract.md.\n{equates}\n{}", include_str!("note.inc"))
}

pub fn zig(facts: &Facts) -> String {
    let mut text = format!("//! {LICENCE}\n//! The contract is docs/contract.md.\n");
    for group in &facts.groups {
        text.push('\n');
        text.push_str(&wrapped("// ", &group.words));
        for constant in &group.numbers {
            writeln!(text, "pub const {} = {};", constant.name, number(constant.value)).unwrap();
        }
    }
    writeln!(text, "\npub const VERDICT_PREFIX = \"{VERDICT_PREFIX}\";").unwrap();
    for record in &facts.structures {
        writeln!(text, "pub const {}_SIZE = {};", record.name.to_uppercase(), record.size).unwrap();
    }
    text.push_str(
        "\n/// A string: where it begins in the strings table, and its bytes without the NUL that follows it.\n\
         pub const StringRef = extern struct { offset: u32, length: u32 };\n",
    );
    for record in &facts.structures {
        let name: String = record.name.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
        text.push('\n');
        text.push_str(&wrapped("/// ", &record.words));
        writeln!(text, "pub const {name} = extern struct {{").unwrap();
        for field in &record.fields {
            let of = match field.of {
                Type::Number(bytes) => format!("u{}", bytes * 8),
                Type::Array { bytes, count } => format!("[{count}]u{}", bytes * 8),
                Type::Text => "StringRef".into(),
            };
            text.push_str(&wrapped("    /// ", &field.words));
            writeln!(text, "    {}: {of},", field.name).unwrap();
        }
        writeln!(
            text,
            "    comptime {{\n        if (@sizeOf(@This()) != {}) @compileError(\"ABI\");\n    }}\n}};",
            record.size
        )
        .unwrap();
    }
    text + &zig_uarts() + include_str!("functions.zig")
}

fn zig_uarts() -> String {
    let mut text = String::from(
        "\n/// How a kind of port is driven: see docs/contract.md, \"Writing to the console\".\n\
         const Uart = struct { kind: u32, data: u32, status: u32, spread: bool, mask: u32, ready: u32, control: u32, clear: u32, \
         set: u32 };\n\nconst uarts = [_]Uart{\n",
    );
    for kind in UartKind::ALL {
        let model = kind.model();
        let (control, clear, set) =
            model.enable.as_ref().map_or((0, 0, 0), |enable| (enable.register, enable.clear, enable.set));
        writeln!(
            text,
            "    .{{ .kind = {}, .data = {:#x}, .status = {:#x}, .spread = {}, .mask = {:#x}, .ready = {:#x}, \
             .control = {control:#x}, .clear = {clear:#x}, .set = {set:#x} }}, // {}",
            *kind as u32,
            model.data,
            model.status,
            model.spread,
            model.mask,
            model.ready,
            kind.name()
        )
        .unwrap();
    }
    text + "};\n"
}
