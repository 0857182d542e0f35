//! ONNX's number types: the range of each integer type, and rounding to the floats of 4 and 8 bits.

use super::proto::DataType;

/// Returns a whole number as an integer type holds it: out-of-range values wrap around. Types of 64 bits and floats
/// leave the number as it is.
pub(super) fn wrap(v: i64, kind: DataType) -> i64 {
    match kind {
        DataType::Bool => i64::from(v != 0),
        DataType::Int4 => (v << 60) >> 60,
        DataType::Uint4 => v & 15,
        DataType::Int8 => (v as i8).into(),
        DataType::Uint8 => (v as u8).into(),
        DataType::Int16 => (v as i16).into(),
        DataType::Uint16 => (v as u16).into(),
        DataType::Int32 => (v as i32).into(),
        DataType::Uint32 => (v as u32).into(),
        _ => v,
    }
}

/// Returns the smallest and the largest number of an integer type of at most 32 bits; int32's for any other type.
pub(super) fn range(kind: DataType) -> (i64, i64) {
    match kind {
        DataType::Int4 => signed_range(4),
        DataType::Uint4 => (0, (1 << 4) - 1),
        DataType::Int8 => signed_range(8),
        DataType::Uint8 => (0, (1 << 8) - 1),
        DataType::Int16 => signed_range(16),
        DataType::Uint16 => (0, (1 << 16) - 1),
        DataType::Uint32 => (0, (1 << 32) - 1),
        _ => signed_range(32),
    }
}

fn signed_range(bits: u32) -> (i64, i64) {
    (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
}

/// A type of floats of 4 or 8 bits: a sign, an exponent and a mantissa.
#[derive(Clone, Copy)]
pub(super) struct SmallFloat {
    /// Bits of the mantissa.
    mantissa: i32,
    /// Bits of the exponent.
    exponent: i32,
    /// The exponent of the smallest normal number.
    least: i32,
    /// The largest finite number.
    max: f32,
    special: Special,
}

/// The bit patterns of a [`SmallFloat`] that are no finite numbers.
#[derive(Clone, Copy, PartialEq)]
enum Special {
    /// The largest pattern of each sign is NaN; there is no infinity.
    Nan,
    /// Infinities and NaNs as in IEEE 754.
    Infinity,
    /// Minus zero's pattern is NaN; there is no infinity.
    NegativeZero,
    /// Every pattern is a finite number.
    None,
}

impl SmallFloat {
    /// Returns the layout of a data type; `None` for types that are not floats of 4 or 8 bits with a mantissa.
    pub(super) fn of(kind: DataType) -> Option<Self> {
        let new = |mantissa, exponent, least, max, special| SmallFloat { mantissa, exponent, least, max, special };
        Some(match kind {
            DataType::Float8e4m3fn => new(3, 4, -6, 448.0, Special::Nan),
            DataType::Float8e4m3fnuz => new(3, 4, -7, 240.0, Special::NegativeZero),
            DataType::Float8e5m2 => new(2, 5, -14, 57344.0, Special::Infinity),
            DataType::Float8e5m2fnuz => new(2, 5, -15, 57344.0, Special::NegativeZero),
            DataType::Float4e2m1 => new(1, 2, 0, 6.0, Special::None),
            _ => return None,
        })
    }

    /// Returns the number that a bit pattern stands for.
    pub(super) fn decode(self, bits: u8) -> f32 {
        let sign = bits >> (self.mantissa + self.exponent);
        let pattern = i32::from(bits) & ((1 << (self.mantissa + self.exponent)) - 1);
        let (exponent, rest) = (pattern >> self.mantissa, pattern & ((1 << self.mantissa) - 1));
        let largest = (1 << self.exponent) - 1;
        let magnitude = match self.special {
            Special::Nan if pattern == (1 << (self.mantissa + self.exponent)) - 1 => f32::NAN,
            Special::NegativeZero if sign == 1 && pattern == 0 => f32::NAN,
            Special::Infinity if exponent == largest && rest == 0 => f32::INFINITY,
            Special::Infinity if exponent == largest => f32::NAN,
            _ if exponent == 0 => rest as f32 * 2f32.powi(self.least - self.mantissa),
            _ => ((1 << self.mantissa) + rest) as f32 * 2f32.powi(exponent - 1 + self.least - self.mantissa),
        };
        if sign == 1 { -magnitude } else { magnitude }
    }

    /// Rounds to the nearest number of this type, ties to even. A number beyond the largest becomes the largest with
    /// `saturate`, else infinity, or NaN in types without infinity.
    pub(super) fn round(self, v: f32, saturate: bool) -> f32 {
        if v.is_nan() && self.special == Special::None {
            return 0.0;
        }
        let unit = 2f32.powi(exponent_of(v).max(self.least) - self.mantissa);
        let rounded = if v.is_finite() { (v / unit).round_ties_even() * unit } else { v };
        if rounded.is_nan() || rounded.abs() <= self.max {
            return rounded;
        }
        match self.special {
            _ if saturate || self.special == Special::None => self.max.copysign(v),
            Special::Infinity => f32::INFINITY.copysign(v),
            _ => f32::NAN,
        }
    }
}

/// Returns the exponent of a float's leading bit; -127 for zero and subnormal numbers.
fn exponent_of(v: f32) -> i32 {
    (v.to_bits() >> 23 & 0xff) as i32 - 127
}

/// Rounds to a power of two as a Cast to float8e8m0 does: `mode` is ONNX's `round_mode`, "up", "down" or "nearest".
pub(super) fn power_of_two(v: f32, mode: &str) -> f32 {
    let down = 2f32.powi(exponent_of(v));
    let up = v > down && (mode == "up" || mode == "nearest" && v >= 1.5 * down);
    if up { 2.0 * down } else { down }
}
