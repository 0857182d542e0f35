//! Structs that Rust writes and shaders read.

use crate::plan::View;

/// The bytes that each dispatch's uniforms are bound with; no uniform block is larger.
pub(super) const UNIFORM_BYTES: usize = 256;

/// A struct with the memory layout of the WGSL struct of its name. The tests of this folder compare the two.
pub(super) trait ShaderStruct: bytemuck::Pod {
    /// Name, fields and size, as Rust lays them out.
    #[cfg(test)]
    const LAYOUT: StructLayout;
}

/// The memory layout of a [`ShaderStruct`].
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(super) struct StructLayout {
    pub name: &'static str,
    /// Name, offset and size in bytes of each field.
    pub fields: &'static [(&'static str, usize, usize)],
    pub size: usize,
}

/// Declares a [`ShaderStruct`].
macro_rules! shader_struct {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $ty:ty),+ $(,)?
    }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $ty),+
        }

        impl $crate::gpu::uniforms::ShaderStruct for $name {
            #[cfg(test)]
            const LAYOUT: $crate::gpu::uniforms::StructLayout = $crate::gpu::uniforms::StructLayout {
                name: stringify!($name),
                fields: &[$((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$ty>())),+],
                size: size_of::<$name>(),
            };
        }
    };
}
pub(super) use shader_struct;

shader_struct! {
    /// A [`View`] in 32-bit numbers.
    pub(super) struct ViewUniforms {
        pub offset: u32,
        pub pixel_stride: u32,
        pub c: u32,
        pub h: u32,
        pub w: u32,
        /// Uniform blocks align nested structs to 16 bytes.
        _padding: [u32; 3],
    }
}

impl From<View> for ViewUniforms {
    fn from(view: View) -> Self {
        let View { offset, pixel_stride, c, h, w } = view;
        let [offset, pixel_stride, c, h, w] = [offset, pixel_stride, c, h, w].map(|v| v as u32);
        ViewUniforms { offset, pixel_stride, c, h, w, _padding: [0; 3] }
    }
}
