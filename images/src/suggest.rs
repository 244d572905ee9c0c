//! "Did you mean": the nearest of the names that there are.

/// The name that was meant by `name`, if one of `known` is near enough to be a slip of it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let slips = name.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(&name, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Help that names what was meant, or else all that there is: `did you mean virt-el2?`.
pub fn help<'a>(name: &str, what: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("{what}: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let known = ["virt", "virt-el2", "raspi3b"];
        assert_eq!(nearest("vrit", known), Some("virt"));
        assert_eq!(nearest("virt-e2", known), Some("virt-el2"));
        assert_eq!(nearest("RASPI3", known), Some("raspi3b"));
        assert_eq!(nearest("pc", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(help("pc", "give one of", known), "give one of: virt, virt-el2, raspi3b");
    }
}
