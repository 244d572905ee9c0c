//! Every way in which a machine ends has its own status, and only a good verdict is success.

use crate::Behaviour;
use crate::handoff::{Scratch, boot, handoff};

pub fn all() -> Vec<Behaviour> {
    vec![
        Behaviour::new("a_good_verdict_is_success", || {
            boot("verdict", &["--append", "good"])?.expect_status(0)?.expect_said("verdict: good").map(drop)
        }),
        Behaviour::new("a_bad_verdict_gives_its_code", || {
            let ended = boot("verdict", &["--append", "bad"])?.expect_status(1)?;
            let ended = ended.expect_said("verdict: bad 7")?.expect_words("its code 7")?;
            ended.expect_words("verdict::kmain+0x").map(drop)
        }),
        Behaviour::new("a_panic_is_a_bad_verdict", || {
            boot("verdict", &["--append", "panic"])?.expect_status(1)?.expect_said("as asked").map(drop)
        }),
        Behaviour::new("a_power_off_without_a_verdict_is_no_success", || {
            let ended = boot("verdict", &["--append", "power-off"])?.expect_status(1)?;
            ended.expect_words("without a verdict").map(drop)
        }),
        Behaviour::new("an_image_without_semihosting_ends_by_the_verdict_that_it_says", || {
            for (word, status) in [("good", 0), ("bad", 1)] {
                let image = Scratch::new(&format!("said-{word}.img"), &[])?;
                handoff(&["build", "--kernel", "verdict", "--append", word, "-o", image.path()])?
                    .expect_status(0)?;
                handoff(&["run", "--image", image.path()])?.expect_status(status)?;
                for ending in [".loader.elf", ".kernel.elf", ".gdb"] {
                    std::fs::remove_file(image.path().to_owned() + ending)?;
                }
            }
            Ok(())
        }),
        Behaviour::new("a_kernel_that_never_ends_is_ended", || {
            let ended = handoff(&["run", "--kernel", "verdict", "--append", "spin", "--timeout", "3"])?;
            let ended = ended.expect_status(124)?.expect_words("no verdict within 3 s")?;
            ended
                .expect_words("CPU 0: spinning in verdict::kmain\n#0")?
                .expect_words("  verdict::kmain+0x")?
                .expect_words(" at kernel/examples/verdict.rs:")?
                .expect_words("help: give more with --timeout SECONDS, or see registers")
                .map(drop)
        }),
    ]
}
