//! The code in docs/kernel-memory.md is that of a kernel which boots.

/// Lines without their indentation, and without those that are empty.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_page_shows_what_the_example_does() {
    let page = include_str!("../../docs/kernel-memory.md");
    let example = lines(include_str!("../examples/memory.rs"));
    let blocks: Vec<_> =
        page.split("```rust\n").skip(1).filter_map(|rest| Some(lines(rest.split_once("```")?.0))).collect();
    assert_eq!(blocks.len(), 5);
    for block in blocks {
        assert!(example.windows(block.len()).any(|part| part == block), "not in the example:\n{block:#?}");
    }
}
