//! Every code that the library can say is in docs/errors.md, and each is one error's.

use std::collections::BTreeSet;

#[test]
fn every_code_is_explained_once() {
    let sources = [
        include_str!("../src/frames/error.rs"),
        include_str!("../src/heap/error.rs"),
        include_str!("../src/address_space/error.rs"),
        include_str!("../src/machine/reclaim.rs"),
    ];
    let number = |line: &str| line.split_once(" => ")?.1.trim_end_matches(',').parse::<u16>().ok();
    let codes: Vec<u16> = sources.iter().flat_map(|source| source.lines().filter_map(number)).collect();
    assert!(codes.len() > 25, "{codes:?}");
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len(), "a code is said twice: {codes:?}");
    let page = include_str!("../../docs/errors.md");
    let explained: Vec<u16> =
        page.lines().filter_map(|line| line.strip_prefix("| E0")?.get(..3)?.parse().ok()).collect();
    for code in &codes {
        let times = explained.iter().filter(|explained| *explained == code).count();
        assert_eq!(times, 1, "E{code:04} is explained {times} times");
    }
    let stale = explained.iter().find(|code| **code >= 900 && !codes.contains(code));
    assert_eq!(stale, None, "the page explains a code that nothing says");
}
