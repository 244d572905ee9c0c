//! Counts instructions of pieces of a program: the program runs itself under callgrind and reads the dumps.
//!
//! [`run`] starts the current executable again under `valgrind --tool=callgrind`, where [`Recorder::count`]
//! switches instrumentation on around one closure and dumps the count under a label. Only what runs inside of a
//! closure is slowed down and counted, so set-up can be as long as it likes.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::process::Command;
use std::{env, fs};

/// Set for the process that runs under callgrind.
const INSIDE: &str = "HANDOFF_BENCH_INSIDE";

/// Client requests (valgrind's callgrind.h): the tool's letters, then a number.
const TOOL: u64 = (b'C' as u64) << 24 | (b'T' as u64) << 16;
const ZERO_STATS: u64 = TOOL + 1;
const DUMP_STATS_AT: u64 = TOOL + 3;
const START_INSTRUMENTATION: u64 = TOOL + 4;
const STOP_INSTRUMENTATION: u64 = TOOL + 5;

/// Instructions by label.
pub type Counts = BTreeMap<String, u64>;

/// Counts, inside of the measured process.
pub struct Recorder(());

impl Recorder {
    /// Runs `action` and dumps how many instructions that took, under a label of one line.
    #[inline(never)]
    pub fn count<T>(&mut self, label: &str, action: impl FnOnce() -> T) -> T {
        let name = CString::new(label).expect("a label without NUL");
        request(ZERO_STATS, 0);
        request(START_INSTRUMENTATION, 0);
        let result = action();
        request(STOP_INSTRUMENTATION, 0);
        request(DUMP_STATS_AT, name.as_ptr() as u64);
        result
    }
}

/// Measures in a child process and reports in this one.
pub fn run(measure: impl FnOnce(&mut Recorder), report: impl FnOnce(&Counts)) {
    if env::var_os(INSIDE).is_some() {
        return measure(&mut Recorder(()));
    }
    let folder = env::temp_dir().join(format!("kernel-bench.{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the dumps");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--instr-atstart=no", "--quiet"])
        .arg(format!("--callgrind-out-file={}/dump", folder.display()))
        .arg(env::current_exe().expect("the path of this program"))
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .status();
    let counts = read(&folder);
    fs::remove_dir_all(&folder).expect("the folder to be removable");
    match status {
        Ok(status) if status.success() => report(&counts),
        Ok(status) => panic!("the measured process ended with {status}"),
        Err(error) => panic!("valgrind is needed to count instructions: {error}"),
    }
}

/// The counts of all dumps in `folder`.
fn read(folder: &std::path::Path) -> Counts {
    let mut counts = Counts::new();
    for entry in fs::read_dir(folder).expect("the folder of the dumps").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a dump");
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let label = field("desc: Trigger: Client Request: ");
        let total = field("totals: ").and_then(|total| total.trim().parse().ok());
        if let (Some(label), Some(total)) = (label, total) {
            counts.insert(label.to_string(), total);
        }
    }
    counts
}

/// Valgrind's client request: a sequence that does nothing on a CPU and that valgrind recognises.
#[cfg(target_arch = "x86_64")]
fn request(code: u64, argument: u64) {
    let arguments = [code, argument, 0, 0, 0, 0];
    let mut _answer = 0_u64;
    // SAFETY: the rotations add up to 128 bits and the exchange is with itself; valgrind reads the arguments.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") &arguments, inout("rdx") _answer, inout("rdi") 0_u64 => _,
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "the benches count instructions by valgrind's client requests, written here for x86-64 hosts alone"
);
