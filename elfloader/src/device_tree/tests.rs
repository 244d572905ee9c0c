//! Real trees and broken ones.

use super::*;

#[test]
fn a_blank_tree_is_refused() {
    let mut scratch = [0; 1024];
    let error = describe(&[0; 64], &mut scratch, &mut Machine::new()).unwrap_err();
    assert_eq!((error, error.code()), (TreeError::Magic { found: 0 }, 402));
}
