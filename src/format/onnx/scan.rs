//! A first look at the bytes: how many records the protobuf decoder would allocate for.
//!
//! A record of two bytes becomes a struct of a hundred or two, so their number is limited before anything is decoded.
//! Tensor data is not counted: it takes at most four times its bytes (a boolean becomes an `i32`; integers of one byte
//! each, an `i64` of eight).

use crate::error::{Error, Result};

/// The most records outside of tensor data that a file may have. DenseNet-201 has about 20,000.
pub const MAX_RECORDS: u64 = 1 << 18;

/// The messages that hold other messages, of those in [`super::proto`].
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
    Leaf,
}

impl Kind {
    /// What a length-delimited field holds; `None` for strings, bytes and everything that is skipped.
    fn child(self, field: u64) -> Option<Kind> {
        Some(match (self, field) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Model, 8 | 14) => Kind::Leaf,
            (Kind::Graph, 1) => Kind::Node,
            (Kind::Graph, 5) | (Kind::Attribute, 5) => Kind::Tensor,
            (Kind::Graph, 11 | 12) => Kind::ValueInfo,
            (Kind::Node, 5) => Kind::Attribute,
            (Kind::ValueInfo, 2) => Kind::Type,
            (Kind::Type, 1) => Kind::TensorType,
            (Kind::TensorType, 2) => Kind::Shape,
            (Kind::Shape, 1) => Kind::Dimension,
            _ => return None,
        })
    }
}

/// Refuses what is no protobuf, and a file of more than [`MAX_RECORDS`].
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    check_message(Kind::Model, "ONNX model", bytes)
}

/// The same for a tensor of its own.
pub(super) fn check_tensor(bytes: &[u8]) -> Result<()> {
    check_message(Kind::Tensor, "ONNX tensor", bytes)
}

fn check_message(kind: Kind, what: &str, bytes: &[u8]) -> Result<()> {
    let mut records = 0;
    let malformed = || Error::format(what, "a protobuf message", "other or truncated bytes");
    count(kind, bytes, &mut records).ok_or_else(malformed)?;
    if records > MAX_RECORDS {
        return Err(Error::TooLarge { what: format!("{what}: records"), actual: records, limit: MAX_RECORDS });
    }
    Ok(())
}

/// Counts the records of a message, up to the limit; `None` for a malformed one (and for the long deprecated groups,
/// which nobody writes). The kinds form a tree, so the depth is bounded.
fn count(kind: Kind, mut bytes: &[u8], records: &mut u64) -> Option<()> {
    while !bytes.is_empty() && *records <= MAX_RECORDS {
        let tag = varint(&mut bytes)?;
        *records += 1;
        match tag & 7 {
            0 => drop(varint(&mut bytes)?),
            1 => drop(take(&mut bytes, 8)?),
            5 => drop(take(&mut bytes, 4)?),
            2 => {
                let length = varint(&mut bytes)?;
                let body = take(&mut bytes, length)?;
                if let Some(kind) = kind.child(tag >> 3) {
                    count(kind, body, records)?;
                }
            }
            _ => return None,
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_nodes_are_counted_before_they_are_decoded() {
        // A graph of empty nodes: two bytes each.
        let graph = [0x0a, 0x00].repeat(MAX_RECORDS as usize + 1);
        let mut bytes = vec![0x3a];
        prost::encode_length_delimiter(graph.len(), &mut bytes).unwrap();
        bytes.extend(graph);
        assert_eq!(check(&bytes).unwrap_err().code(), "too-large");
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [&[0xff][..], &[0x3a, 0xff, 0xff], &[0x3a, 0x7f, 0x00], &[0x0f], &[0x0b, 0x0c]] {
            assert_eq!(check(bytes).unwrap_err().code(), "format");
        }
    }
}
