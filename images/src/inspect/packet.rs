//! The text of GDB's remote serial protocol: packets, bytes as digits, and what describes a target's registers.

use std::io::Read;

/// One packet's data, escapes undone.
pub fn receive(stream: &mut impl Read) -> std::io::Result<String> {
    let mut byte = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).map(|()| byte[0])
    };
    while byte()? != b'$' {}
    let mut data = Vec::new();
    loop {
        match byte()? {
            b'#' => break,
            b'}' => data.push(byte()? ^ 0x20),
            other => data.push(other),
        }
    }
    // The checksum guards a serial line, which this is not.
    byte()?;
    byte()?;
    String::from_utf8(data).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))
}

/// Bytes from pairs of hexadecimal digits; `None` for an error's `E..` or anything else.
pub fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() || text.is_empty() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// For each `element` of an XML text the values of the named attributes, empty for one that it lacks. QEMU's
/// descriptions are flat, so no more of XML is needed.
pub fn attributes(text: &str, element: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for tag in text.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let Some(rest) = tag.strip_prefix(element).filter(|rest| rest.starts_with(char::is_whitespace))
        else {
            continue;
        };
        let value = |name: &&str| {
            let start = rest.find(&format!(" {name}=\""))? + name.len() + 3;
            rest[start..].split('"').next().map(str::to_owned)
        };
        found.push(names.iter().map(|name| value(name).unwrap_or_default()).collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_with_their_escapes_undone() {
        let mut stream: &[u8] = b"+$a}\x03b#00$OK#9a";
        assert_eq!(receive(&mut stream).unwrap(), "a#b");
        assert_eq!(receive(&mut stream).unwrap(), "OK");
        assert!(receive(&mut stream).is_err());
    }

    #[test]
    fn memory_is_pairs_of_digits_and_errors_are_not() {
        assert_eq!(bytes_of("00ff1a"), Some(vec![0, 0xFF, 0x1A]));
        for text in ["", "E14", "0", "zz", "é"] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }

    #[test]
    fn attributes_are_found_in_any_order() {
        let text = r#"<?xml version="1.0"?><feature name="x"><reg name="x0" bitsize="64"/><reg bitsize="32" regnum="7" name="cpsr" /><regs/></feature>"#;
        let found = attributes(text, "reg", &["name", "bitsize", "regnum"]);
        assert_eq!(found, [vec!["x0", "64", ""], vec!["cpsr", "32", "7"]]);
    }
}
