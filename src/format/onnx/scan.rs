//! Counts the records of a protobuf message before it is decoded.
//!
//! The decoder turns a record of two bytes into a struct of one or two hundred, so a hostile file is refused by its
//! number of records. Tensor data is not counted: decoded, it takes at most eight times its size in the file (an `i64`
//! for an integer of one byte).

use super::proto::{ModelProto, NestedMessages, TensorProto};
use crate::error::{Error, Result};

/// The most records outside of tensor data that a file may have. DenseNet-201 has about 20,000.
pub const MAX_RECORDS: u64 = 1 << 18;

/// The name of a file in error messages.
pub(super) const MODEL: &str = "ONNX model";

/// Checks the bytes of a `ModelProto`.
///
/// # Errors
/// [`Error::Format`] if the bytes are no protobuf message, [`Error::TooLarge`] for more than [`MAX_RECORDS`] records.
pub(super) fn check_model(bytes: &[u8]) -> Result<()> {
    check(&ModelProto::NESTED, MODEL, bytes)
}

/// Checks the bytes of a `TensorProto`, with the errors of [`check_model`].
pub(super) fn check_tensor(bytes: &[u8]) -> Result<()> {
    check(&TensorProto::NESTED, "ONNX tensor", bytes)
}

fn check(message: &NestedMessages, what: &str, bytes: &[u8]) -> Result<()> {
    let mut records = 0;
    let malformed = || Error::format(what, "a protobuf message", "other or truncated bytes");
    count(message, bytes, &mut records).ok_or_else(malformed)?;
    if records > MAX_RECORDS {
        return Err(Error::TooLarge { what: format!("{what}: records"), actual: records, limit: MAX_RECORDS });
    }
    Ok(())
}

/// Adds the records of a message to `records`, up to the limit; `None` for a malformed message or a group, an encoding
/// that protobuf has deprecated. The declared messages form a tree, so the depth of the recursion is bounded.
fn count(message: &NestedMessages, mut bytes: &[u8], records: &mut u64) -> Option<()> {
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
                if let Some(nested) = message.get(tag >> 3) {
                    count(nested, body, records)?;
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
    use prost::Message;

    use super::super::proto::{AttributeProto, DimensionProto, GraphProto, NodeProto, TensorShapeProto};
    use super::super::proto::{TensorTypeProto, TypeProto, ValueInfoProto};
    use super::*;

    #[test]
    fn empty_nodes_are_counted_before_they_are_decoded() {
        // A graph of empty nodes: two bytes each.
        let graph = [0x0a, 0x00].repeat(MAX_RECORDS as usize + 1);
        let mut bytes = vec![0x3a];
        prost::encode_length_delimiter(graph.len(), &mut bytes).unwrap();
        bytes.extend(graph);
        assert_eq!(check_model(&bytes).unwrap_err().code(), "too-large");
    }

    #[test]
    fn records_of_nested_messages_are_counted() {
        let count_of = |model: &ModelProto| {
            let mut records = 0;
            count(&ModelProto::NESTED, &model.encode_to_vec(), &mut records).unwrap();
            records
        };
        let tensor = TensorProto { dims: vec![1, 2], raw_data: Some(vec![0; 8].into()), ..TensorProto::default() };
        let attribute = AttributeProto { t: Some(Box::new(tensor.clone())), ..AttributeProto::default() };
        let node = NodeProto { op_type: "Constant".into(), attribute: vec![attribute], ..NodeProto::default() };
        let dim = vec![DimensionProto { dim_value: Some(3), dim_param: None }];
        let tensor_type = TensorTypeProto { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
        let r#type = Some(TypeProto { tensor_type: Some(tensor_type) });
        let input = vec![ValueInfoProto { name: "x".into(), r#type }];
        let graph = GraphProto { node: vec![node], initializer: vec![tensor], input, ..GraphProto::default() };
        let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        // The graph; node, kind, attribute, tensor and its 3 fields; initializer and its 3 fields; input, name, type,
        // tensor type, element type, shape, dimension, size.
        assert_eq!(count_of(&model), 1 + 7 + 4 + 8);
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [&[0xff][..], &[0x3a, 0xff, 0xff], &[0x3a, 0x7f, 0x00], &[0x0f], &[0x0b, 0x0c]] {
            assert_eq!(check_model(bytes).unwrap_err().code(), "format");
        }
    }
}
