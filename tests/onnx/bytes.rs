//! ONNX files made byte by byte.

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of bytes.
pub fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(body.len() as u64), body.to_vec()].concat()
}

/// A field of text.
pub fn named(number: u8, text: &str) -> Vec<u8> {
    field(number, text.as_bytes())
}

/// A field of an integer.
pub fn int(number: u8, value: i64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value as u64)].concat()
}

pub fn raw_floats(values: &[f32]) -> Vec<u8> {
    field(9, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// A tensor of a data type, with what else it has.
pub fn typed(name: &str, dims: &[i64], data_type: i64, rest: &[u8]) -> Vec<u8> {
    let dims = dims.iter().flat_map(|&d| int(1, d)).collect();
    [dims, int(2, data_type), named(8, name), rest.to_vec()].concat()
}

pub const FLOAT: i64 = 1;
pub const STRING: i64 = 8;
pub const INT64: i64 = 7;

/// A tensor of floats, with values for each element of `dims`.
pub fn tensor(name: &str, dims: &[i64]) -> Vec<u8> {
    let n = dims.iter().product::<i64>() as usize;
    typed(name, dims, FLOAT, &raw_floats(&vec![0.5; n]))
}

pub fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    typed(name, &[values.len() as i64], INT64, &field(9, &raw))
}

/// A node with the name of its output.
pub fn node(kind: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|i| named(1, i)).collect();
    let attributes = attributes.iter().flat_map(|a| field(5, a)).collect();
    [inputs, named(2, output), named(3, output), named(4, kind), attributes].concat()
}

pub fn int_attribute(name: &str, value: i64) -> Vec<u8> {
    [named(1, name), int(3, value), int(20, 2)].concat()
}

pub fn ints_attribute(name: &str, values: &[i64]) -> Vec<u8> {
    [named(1, name), values.iter().flat_map(|&v| int(8, v)).collect(), int(20, 7)].concat()
}

/// An input or output of floats; the batch and negative sizes are dynamic.
pub fn info(name: &str, sample: &[i64]) -> Vec<u8> {
    let size = |&d: &i64| field(1, &if d < 0 { named(2, "?") } else { int(1, d) });
    let dims = [-1].iter().chain(sample).flat_map(size).collect::<Vec<u8>>();
    let tensor_type = [int(1, FLOAT), field(2, &dims)].concat();
    [named(1, name), field(2, &field(1, &tensor_type))].concat()
}

/// A file, of which each case changes one thing. As it is, it is right.
pub struct File {
    pub ir: i64,
    pub opset: i64,
    pub inputs: Vec<Vec<u8>>,
    pub nodes: Vec<Vec<u8>>,
    pub initializers: Vec<Vec<u8>>,
    pub metadata: Vec<(&'static str, &'static str)>,
}

pub fn file() -> File {
    File {
        ir: 8,
        opset: 17,
        inputs: vec![info("x", &[1, 4, 4])],
        nodes: vec![
            node("Conv", &["x", "conv.w", "conv.b"], "conv", &[]),
            node("Relu", &["conv"], "relu", &[]),
            node("Flatten", &["relu"], "flat", &[]),
            node("Gemm", &["flat", "fc.w"], "y", &[int_attribute("transB", 1)]),
        ],
        initializers: vec![tensor("conv.w", &[2, 1, 3, 3]), tensor("conv.b", &[2]), tensor("fc.w", &[3, 8])],
        metadata: vec![("convoke.labels", "[\"a\",\"b\",\"c\"]")],
    }
}

impl File {
    pub fn node(mut self, i: usize, node: Vec<u8>) -> Self {
        self.nodes[i] = node;
        self
    }

    pub fn initializer(mut self, i: usize, tensor: Vec<u8>) -> Self {
        self.initializers[i] = tensor;
        self
    }

    pub fn input(mut self, sample: &[i64]) -> Self {
        self.inputs = vec![info("x", sample)];
        self
    }

    pub fn metadata(mut self, key: &'static str, value: &'static str) -> Self {
        self.metadata = vec![(key, value)];
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        let each = |number: u8, parts: &[Vec<u8>]| parts.iter().flat_map(|p| field(number, p)).collect::<Vec<u8>>();
        let graph = [
            each(1, &self.nodes),
            named(2, "tiny"),
            each(5, &self.initializers),
            each(11, &self.inputs),
            field(12, &info("y", &[3])),
        ];
        let property = |&(key, value): &(&str, &str)| field(14, &[named(1, key), named(2, value)].concat());
        let metadata = self.metadata.iter().flat_map(property).collect();
        [int(1, self.ir), field(7, &graph.concat()), field(8, &int(2, self.opset)), metadata].concat()
    }
}
