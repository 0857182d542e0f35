//! The part of `onnx.proto` that Convoke reads and writes, declared by hand: no protobuf compiler is needed to build.
//!
//! Field numbers are those of ONNX 1.19 (IR version 12); they never change between versions, and undeclared fields are
//! skipped. One declaration of each message gives both the struct that prost decodes and the list of nested messages
//! ([`NestedMessages`]) by which `scan.rs` counts records before decoding.

use prost::bytes::Bytes;
use prost::{Enumeration, Message};

/// The fields of a message that hold other messages: field numbers with the nested message's own fields.
pub(super) struct NestedMessages(&'static [(u64, &'static NestedMessages)]);

impl NestedMessages {
    /// Returns the message type of a length-delimited field; `None` for strings, bytes, packed numbers and undeclared
    /// fields.
    pub(super) fn get(&self, field: u64) -> Option<&'static NestedMessages> {
        self.0.iter().find(|(number, _)| *number == field).map(|(_, nested)| *nested)
    }
}

/// Declares messages. A field reads `name: type = number [kind in prost's words]`, and then the nested message's name
/// if the field holds one.
macro_rules! messages {
    ($(
        $(#[$message_doc:meta])*
        $message:ident {
            $($(#[$doc:meta])* $field:ident: $type:ty = $number:tt [$($kind:tt)*] $($nested:ident)?;)*
        }
    )*) => {$(
        $(#[$message_doc])*
        #[derive(Clone, PartialEq, Message)]
        pub(super) struct $message {
            $($(#[$doc])* #[prost($($kind)*, tag = $number)] pub $field: $type,)*
        }

        impl $message {
            /// The fields that hold messages.
            pub(super) const NESTED: NestedMessages = NestedMessages(&[$($(($number, &$nested::NESTED),)?)*]);
        }
    )*};
}

messages! {
    ModelProto {
        ir_version: i64 = 1 [int64];
        producer_name: String = 2 [string];
        producer_version: String = 3 [string];
        graph: Option<GraphProto> = 7 [message, optional] GraphProto;
        opset_import: Vec<OperatorSetIdProto> = 8 [message, repeated] OperatorSetIdProto;
        metadata_props: Vec<StringStringEntryProto> = 14 [message, repeated] StringStringEntryProto;
    }

    StringStringEntryProto {
        key: String = 1 [string];
        value: String = 2 [string];
    }

    OperatorSetIdProto {
        domain: String = 1 [string];
        version: i64 = 2 [int64];
    }

    GraphProto {
        node: Vec<NodeProto> = 1 [message, repeated] NodeProto;
        name: String = 2 [string];
        initializer: Vec<TensorProto> = 5 [message, repeated] TensorProto;
        input: Vec<ValueInfoProto> = 11 [message, repeated] ValueInfoProto;
        output: Vec<ValueInfoProto> = 12 [message, repeated] ValueInfoProto;
    }

    NodeProto {
        input: Vec<String> = 1 [string, repeated];
        output: Vec<String> = 2 [string, repeated];
        name: String = 3 [string];
        op_type: String = 4 [string];
        attribute: Vec<AttributeProto> = 5 [message, repeated] AttributeProto;
        domain: String = 7 [string];
    }

    AttributeProto {
        name: String = 1 [string];
        f: Option<f32> = 2 [float, optional];
        i: Option<i64> = 3 [int64, optional];
        s: Option<Bytes> = 4 [bytes = "bytes", optional];
        t: Option<Box<TensorProto>> = 5 [message, optional, boxed] TensorProto;
        floats: Vec<f32> = 7 [float, repeated, packed = "false"];
        ints: Vec<i64> = 8 [int64, repeated, packed = "false"];
        kind: i32 = 20 [enumeration = "AttributeType"];
    }

    TensorProto {
        dims: Vec<i64> = 1 [int64, repeated, packed = "false"];
        data_type: i32 = 2 [int32];
        float_data: Vec<f32> = 4 [float, repeated];
        int32_data: Vec<i32> = 5 [int32, repeated];
        int64_data: Vec<i64> = 7 [int64, repeated];
        name: String = 8 [string];
        /// A view into the file: decoding copies no weights.
        raw_data: Option<Bytes> = 9 [bytes = "bytes", optional];
        double_data: Vec<f64> = 10 [double, repeated];
        uint64_data: Vec<u64> = 11 [uint64, repeated];
        data_location: i32 = 14 [int32];
    }

    ValueInfoProto {
        name: String = 1 [string];
        r#type: Option<TypeProto> = 2 [message, optional] TypeProto;
    }

    TypeProto {
        tensor_type: Option<TensorTypeProto> = 1 [message, optional] TensorTypeProto;
    }

    TensorTypeProto {
        elem_type: i32 = 1 [int32];
        shape: Option<TensorShapeProto> = 2 [message, optional] TensorShapeProto;
    }

    TensorShapeProto {
        dim: Vec<DimensionProto> = 1 [message, repeated] DimensionProto;
    }

    /// A size or the name of a dynamic dimension: ONNX's `oneof` as two optional fields, of which a file has one.
    DimensionProto {
        dim_value: Option<i64> = 1 [int64, optional];
        dim_param: Option<String> = 2 [string, optional];
    }
}

/// `AttributeProto.AttributeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum AttributeType {
    Undefined = 0,
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Floats = 6,
    Ints = 7,
}

/// `TensorProto.DataType` without strings and complex numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum DataType {
    Undefined = 0,
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    Bool = 9,
    Float16 = 10,
    Double = 11,
    Uint32 = 12,
    Uint64 = 13,
    Bfloat16 = 16,
    Float8e4m3fn = 17,
    Float8e4m3fnuz = 18,
    Float8e5m2 = 19,
    Float8e5m2fnuz = 20,
    Uint4 = 21,
    Int4 = 22,
    Float4e2m1 = 23,
    Float8e8m0 = 24,
}

/// `TensorProto.DataLocation.EXTERNAL`.
pub(super) const EXTERNAL: i32 = 1;
