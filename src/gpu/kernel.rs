//! Shaders, their entry points, and the pipelines made of them.

use std::collections::HashMap;
use std::marker::PhantomData;

use super::uniforms::{ShaderStruct, UNIFORM_BYTES};

/// A WGSL module.
pub(super) struct Shader {
    /// The file's name without its extension.
    pub file: &'static str,
    /// Texts that follow the prelude.
    pub parts: &'static [&'static str],
    /// Whether its kernels write parameters and optimizer state.
    pub updates: bool,
    /// The layout of its uniform block.
    #[cfg(test)]
    pub uniforms: super::uniforms::StructLayout,
}

impl Shader {
    pub(super) const fn new<U: ShaderStruct>(file: &'static str, parts: &'static [&'static str]) -> Self {
        const { assert!(size_of::<U>() <= UNIFORM_BYTES) };
        Shader {
            file,
            parts,
            updates: false,
            #[cfg(test)]
            uniforms: U::LAYOUT,
        }
    }

    /// The WGSL text: the prelude, then the shader's parts.
    pub(super) fn source(&self) -> String {
        std::iter::once(&PRELUDE).chain(self.parts).copied().collect::<Vec<_>>().join("\n")
    }
}

/// An entry point of a shader whose uniform block is `U`.
pub(super) struct Kernel<U> {
    pub shader: &'static Shader,
    pub entry: &'static str,
    pub uniforms: PhantomData<fn(U)>,
}

/// Declares a shader with its uniform block and its texts, named by paths from the invoking file, and the kernels in it.
macro_rules! kernels {
    ($file:literal, $uniforms:ty, [$($part:literal),+], $($name:ident = $entry:literal),+ $(,)?) => {
        pub(in crate::gpu) static SHADER: $crate::gpu::kernel::Shader =
            $crate::gpu::kernel::Shader::new::<$uniforms>($file, &[$(include_str!($part)),+]);
        $crate::gpu::kernel::entries!($uniforms, $($name = $entry),+);
    };
}
pub(super) use kernels;

/// Declares the kernels of `SHADER`.
macro_rules! entries {
    ($uniforms:ty, $($name:ident = $entry:literal),+ $(,)?) => {
        $(const $name: $crate::gpu::kernel::Kernel<$uniforms> = $crate::gpu::kernel::Kernel {
            shader: &SHADER,
            entry: $entry,
            uniforms: std::marker::PhantomData,
        };)+
    };
}
pub(super) use entries;

const PRELUDE: &str = include_str!("prelude.wgsl");

/// Binding numbers, as the prelude and the shaders declare them.
pub(super) mod binding {
    pub const ARENA: u32 = 0;
    pub const PARAMS: u32 = 1;
    pub const GRADS: u32 = 2;
    pub const CONTROL: u32 = 3;
    pub const UNIFORMS: u32 = 4;
    /// The optimizer's first and second moments.
    pub const MOMENTS: [u32; 2] = [5, 6];
}

/// An override constant of a shader.
pub(super) type Constant = (&'static str, f64);

/// Whether a kernel adds to its output instead of overwriting it.
pub(super) fn accumulate(accumulate: bool) -> Constant {
    ("ACCUMULATE", accumulate.into())
}

/// File, entry point, and constants as bits.
type PipelineKey = (&'static str, &'static str, Vec<(&'static str, u64)>);

/// Modules, layouts and pipelines, each made when it is first needed.
pub(super) struct Pipelines {
    modules: HashMap<&'static str, wgpu::ShaderModule>,
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
    run: PipelineLayout,
    update: PipelineLayout,
}

struct PipelineLayout {
    bind_group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

impl PipelineLayout {
    fn new(device: &wgpu::Device, updates: bool) -> Self {
        let storage = |binding, read_only| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let mut entries = vec![
            storage(binding::ARENA, false),
            storage(binding::PARAMS, !updates),
            storage(binding::GRADS, false),
            storage(binding::CONTROL, false),
        ];
        entries.push(wgpu::BindGroupLayoutEntry {
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: true,
                min_binding_size: None,
            },
            ..storage(binding::UNIFORMS, true)
        });
        if updates {
            entries.extend(binding::MOMENTS.map(|moment| storage(moment, false)));
        }
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some("convoke"), entries: &entries };
        let bind_group = device.create_bind_group_layout(&descriptor);
        let descriptor = wgpu::PipelineLayoutDescriptor {
            label: Some("convoke"),
            bind_group_layouts: &[Some(&bind_group)],
            ..Default::default()
        };
        PipelineLayout { pipeline: device.create_pipeline_layout(&descriptor), bind_group }
    }
}

impl Pipelines {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        Pipelines {
            modules: HashMap::new(),
            pipelines: HashMap::new(),
            run: PipelineLayout::new(device, false),
            update: PipelineLayout::new(device, true),
        }
    }

    /// The bind group layout of kernels that update parameters, or of all others.
    pub(super) fn bind_group_layout(&self, updates: bool) -> wgpu::BindGroupLayout {
        let layout = if updates { &self.update } else { &self.run };
        layout.bind_group.clone()
    }

    /// The pipeline of `entry` in `shader`, compiled at the first call with these constants.
    pub(super) fn get(
        &mut self,
        device: &wgpu::Device,
        shader: &Shader,
        entry: &'static str,
        constants: &[Constant],
    ) -> wgpu::ComputePipeline {
        let bits = constants.iter().map(|&(name, v)| (name, v.to_bits())).collect();
        let layout = if shader.updates { &self.update } else { &self.run };
        let compile = || {
            let module = self.modules.entry(shader.file).or_insert_with(|| {
                device.create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: Some(shader.file),
                    source: wgpu::ShaderSource::Wgsl(shader.source().into()),
                })
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(shader.file),
                layout: Some(&layout.pipeline),
                module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
                cache: None,
            })
        };
        self.pipelines.entry((shader.file, entry, bits)).or_insert_with(compile).clone()
    }
}
