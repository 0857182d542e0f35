//! Names that must be unique.

/// Returns a name that occurs twice, if there is one. Sorts `names`.
pub(crate) fn first_duplicate<'a>(names: &mut [&'a str]) -> Option<&'a str> {
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
