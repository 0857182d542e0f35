//! Shaders and the pipelines made of them.

/// An entry point of a shader.
pub(super) struct Kernel {
    /// The file's name, which also names its module.
    pub file: &'static str,
    /// Its parts, to be put behind the prelude.
    pub source: &'static [&'static str],
    pub entry: &'static str,
    /// Whether it writes parameters and optimizer state.
    pub updates: bool,
}

/// A shader's text, as `build.rs` made it small.
macro_rules! wgsl {
    ($file:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $file))
    };
}
pub(super) use wgsl;

/// Declares the kernels of one shader file.
macro_rules! kernels {
    ($file:literal, [$($part:literal),+], $($vis:vis $name:ident = $entry:literal),+ $(,)?) => {
        const SOURCE: &[&str] = &[$($crate::gpu::kernel::wgsl!($part)),+];
        $($vis const $name: $crate::gpu::kernel::Kernel =
            $crate::gpu::kernel::Kernel { file: $file, source: SOURCE, entry: $entry, updates: false };)+
    };
}
pub(super) use kernels;

const PRELUDE: &str = wgsl!("prelude.wgsl");

/// Bindings, as the prelude and the shaders declare them.
pub(super) mod binding {
    pub const ARENA: u32 = 0;
    pub const PARAMS: u32 = 1;
    pub const GRADS: u32 = 2;
    pub const CONTROL: u32 = 3;
    pub const STEP: u32 = 4;
    pub const STATE: u32 = 5;
    pub const STATE2: u32 = 6;
}

/// The largest `Step` of any shader.
pub(super) const STEP_BYTES: usize = 256;

/// An override constant of a shader.
pub(super) type Constant = (&'static str, f64);

/// File, entry point, and constants in their bits.
type Key = (&'static str, &'static str, Vec<(&'static str, u64)>);

/// Modules, layouts and pipelines, each made when it is first needed.
pub(super) struct Pipelines {
    modules: Vec<(&'static str, wgpu::ShaderModule)>,
    pipelines: Vec<(Key, wgpu::ComputePipeline)>,
    run: Layout,
    update: Layout,
}

struct Layout {
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

impl Layout {
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
            ..storage(binding::STEP, true)
        });
        if updates {
            entries.extend([storage(binding::STATE, false), storage(binding::STATE2, false)]);
        }
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some("convoke"), entries: &entries };
        let group = device.create_bind_group_layout(&descriptor);
        let descriptor = wgpu::PipelineLayoutDescriptor {
            label: Some("convoke"),
            bind_group_layouts: &[Some(&group)],
            ..Default::default()
        };
        Layout { pipeline: device.create_pipeline_layout(&descriptor), group }
    }
}

impl Pipelines {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        Pipelines {
            modules: vec![],
            pipelines: vec![],
            run: Layout::new(device, false),
            update: Layout::new(device, true),
        }
    }

    fn of(&self, kernel: &Kernel) -> &Layout {
        if kernel.updates { &self.update } else { &self.run }
    }

    pub(super) fn layout(&self, kernel: &Kernel) -> wgpu::BindGroupLayout {
        self.of(kernel).group.clone()
    }

    pub(super) fn get(
        &mut self,
        device: &wgpu::Device,
        kernel: &Kernel,
        constants: &[Constant],
    ) -> wgpu::ComputePipeline {
        let key = (kernel.file, kernel.entry, constants.iter().map(|&(name, v)| (name, v.to_bits())).collect());
        if let Some((_, pipeline)) = self.pipelines.iter().find(|(own, _)| *own == key) {
            return pipeline.clone();
        }
        let module = self.module(device, kernel);
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.file),
            layout: Some(&self.of(kernel).pipeline),
            module: &module,
            entry_point: Some(kernel.entry),
            compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
            cache: None,
        });
        self.pipelines.push((key, pipeline.clone()));
        pipeline
    }

    fn module(&mut self, device: &wgpu::Device, kernel: &Kernel) -> wgpu::ShaderModule {
        if let Some((_, module)) = self.modules.iter().find(|(file, _)| *file == kernel.file) {
            return module.clone();
        }
        let source = std::iter::once(&PRELUDE).chain(kernel.source).copied().collect::<Vec<_>>().join("\n");
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel.file),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        self.modules.push((kernel.file, module.clone()));
        module
    }
}
