//! Code around an address, disassembled, with the source lines that it was made of.

use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::InstDecoder;

use super::program::Program;

/// Instructions shown before and after the one in question.
const AROUND: u64 = 6;

/// The range of addresses that a listing around `at` needs, cut at the start of its function.
pub fn range(program: Option<&Program>, at: u64) -> (u64, u64) {
    let least = at.saturating_sub(4 * AROUND);
    let start =
        program.and_then(|program| program.function_start(at)).map_or(least, |start| start.max(least));
    (start, at.saturating_add(4 * (AROUND + 1)))
}

/// System registers that a kernel's first code has to do with, by their encoding (Arm ARM D19.2).
const SYSTEM_REGISTERS: [(&str, &str); 28] = [
    ("s3_0_c0_c0_5", "mpidr_el1"),
    ("s3_0_c1_c0_0", "sctlr_el1"),
    ("s3_0_c1_c0_2", "cpacr_el1"),
    ("s3_0_c2_c0_0", "ttbr0_el1"),
    ("s3_0_c2_c0_1", "ttbr1_el1"),
    ("s3_0_c2_c0_2", "tcr_el1"),
    ("s3_0_c4_c0_0", "spsr_el1"),
    ("s3_0_c4_c0_1", "elr_el1"),
    ("s3_0_c4_c1_0", "sp_el0"),
    ("s3_0_c4_c2_0", "spsel"),
    ("s3_0_c4_c2_2", "currentel"),
    ("s3_0_c5_c2_0", "esr_el1"),
    ("s3_0_c6_c0_0", "far_el1"),
    ("s3_0_c10_c2_0", "mair_el1"),
    ("s3_0_c12_c0_0", "vbar_el1"),
    ("s3_0_c12_c12_0", "icc_iar1_el1"),
    ("s3_0_c12_c12_1", "icc_eoir1_el1"),
    ("s3_0_c13_c0_1", "contextidr_el1"),
    ("s3_0_c13_c0_4", "tpidr_el1"),
    ("s3_3_c4_c2_0", "nzcv"),
    ("s3_3_c4_c2_1", "daif"),
    ("s3_3_c13_c0_2", "tpidr_el0"),
    ("s3_3_c13_c0_3", "tpidrro_el0"),
    ("s3_3_c14_c0_0", "cntfrq_el0"),
    ("s3_3_c14_c0_1", "cntpct_el0"),
    ("s3_3_c14_c0_2", "cntvct_el0"),
    ("s3_3_c14_c3_0", "cntv_tval_el0"),
    ("s3_3_c14_c3_1", "cntv_ctl_el0"),
];

/// One instruction in words; `.inst` and its number if it is none.
pub fn instruction(word: u32) -> String {
    let bytes = word.to_le_bytes();
    let decoded = InstDecoder::default().decode(&mut U8Reader::new(&bytes));
    let words = decoded.map_or_else(|_| format!(".inst {word:#010x}"), |instruction| instruction.to_string());
    let named =
        SYSTEM_REGISTERS.iter().find(|(encoding, _)| words.split([' ', ',']).any(|word| word == *encoding));
    named.map_or(words.clone(), |(encoding, name)| words.replace(encoding, name))
}

/// The listing: a line for each instruction of `bytes`, which lie at `start`, and one for each new line of the source.
/// The instruction at `at` is marked.
pub fn lines(program: Option<&Program>, start: u64, bytes: &[u8], at: u64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = None;
    for (address, word) in (start..).step_by(4).zip(bytes.as_chunks::<4>().0) {
        let places = program.map(|program| program.places(address)).unwrap_or_default();
        let line = places.first().and_then(|place| place.line.clone());
        if let (Some((file, number)), true) = (&line, line != last) {
            let source = program.and_then(|program| program.source(file, *number)).unwrap_or_default();
            lines.push(format!("   {file}:{number}  {source}").trim_end().to_owned());
        }
        last = line;
        let mark = if address == at { "=>" } else { "  " };
        lines.push(format!("{mark} {address:#018x}  {}", instruction(u32::from_le_bytes(*word))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_words_and_what_is_none_is_its_number() {
        assert_eq!(instruction(0xD503_207F), "wfi");
        assert_eq!(instruction(0xF940_0000), "ldr x0, [x0]");
        assert_eq!(instruction(0xD65F_03C0), "ret");
        assert_eq!(instruction(0xD518_C000), "msr vbar_el1, x0");
        assert_eq!(instruction(0xD53B_E043), "mrs x3, cntvct_el0");
        assert_eq!(instruction(0), "udf #0x0");
        assert_eq!(instruction(0xFFFF_FFFF), ".inst 0xffffffff");
    }

    #[test]
    fn the_instruction_in_question_is_marked() {
        let code: Vec<u8> =
            [0xD503_201F_u32, 0xD503_207F].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(
            lines(None, 0xFFFF_0000_0000_1000, &code, 0xFFFF_0000_0000_1004),
            ["   0xffff000000001000  nop", "=> 0xffff000000001004  wfi"]
        );
        assert_eq!(range(None, 0x1000), (0xFE8, 0x101C));
    }
}
