//! Number types that only constants have: what fits into them, and how others become theirs.

use super::proto::DataType;

/// A whole number as this type holds it: what does not fit wraps around.
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

/// The smallest and the largest number of a type of at most 32 bits.
pub(super) fn range(kind: DataType) -> (i64, i64) {
    let wide = |bits: u32, signed: bool| match signed {
        true => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        false => (0, (1 << bits) - 1),
    };
    match kind {
        DataType::Int4 => wide(4, true),
        DataType::Uint4 => wide(4, false),
        DataType::Int8 => wide(8, true),
        DataType::Uint8 => wide(8, false),
        DataType::Int16 => wide(16, true),
        DataType::Uint16 => wide(16, false),
        DataType::Uint32 => wide(32, false),
        _ => wide(32, true),
    }
}

/// A type of floats of 4 or 8 bits.
#[derive(Clone, Copy)]
pub(super) struct SmallFloat {
    /// Bits behind the point.
    mantissa: i32,
    exponent: i32,
    /// Of the smallest normal number.
    least: i32,
    max: f32,
    /// What is there instead of numbers.
    special: Special,
}

#[derive(Clone, Copy, PartialEq)]
enum Special {
    /// The largest code is NaN.
    Nan,
    /// As in wider types.
    Infinity,
    /// Minus zero is NaN.
    NegativeZero,
    None,
}

impl SmallFloat {
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

    /// The number of these bits.
    pub(super) fn decode(self, bits: u8) -> f32 {
        let sign = bits >> (self.mantissa + self.exponent);
        let code = i32::from(bits) & ((1 << (self.mantissa + self.exponent)) - 1);
        let (exponent, rest) = (code >> self.mantissa, code & ((1 << self.mantissa) - 1));
        let largest = (1 << self.exponent) - 1;
        let magnitude = match self.special {
            Special::Nan if code == (1 << (self.mantissa + self.exponent)) - 1 => f32::NAN,
            Special::NegativeZero if sign == 1 && code == 0 => f32::NAN,
            Special::Infinity if exponent == largest => {
                if rest == 0 {
                    f32::INFINITY
                } else {
                    f32::NAN
                }
            }
            _ if exponent == 0 => rest as f32 * 2f32.powi(self.least - self.mantissa),
            _ => ((1 << self.mantissa) + rest) as f32 * 2f32.powi(exponent - 1 + self.least - self.mantissa),
        };
        if sign == 1 { -magnitude } else { magnitude }
    }

    /// The nearest number; of two the even one. What is larger than all becomes the largest, or, unless `saturate`,
    /// infinity or NaN.
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

/// Of the leading bit; a number too small for one has the smallest.
fn exponent_of(v: f32) -> i32 {
    (v.to_bits() >> 23 & 0xff) as i32 - 127
}

/// The power of two that stands for a scale in 8 bits: the next one up, down, or the nearest.
pub(super) fn power_of_two(v: f32, mode: &str) -> f32 {
    let down = 2f32.powi(exponent_of(v));
    let up = v > down && (mode == "up" || mode == "nearest" && v >= 1.5 * down);
    if up { 2.0 * down } else { down }
}
