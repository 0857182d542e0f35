//! Rust's view of the shaders against the shaders themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use wgpu::naga::front::wgsl;
use wgpu::naga::proc::Layouter;
use wgpu::naga::{AddressSpace, Expression, Literal, Module, TypeInner};

use super::control::Control;
use super::kernel::Shader;
use super::layers::{
    activation, adaptive_avg_pool2d, add, avg_pool2d, batch_norm2d, conv2d, depthwise, dropout, flatten, hard_swish,
    local_response_norm, max_pool2d, mul, permute, rearrange, softmax,
};
use super::uniforms::{ShaderStruct, StructLayout, ViewUniforms};
use super::window::WindowUniforms;
use super::{copy, loss, optimizer, recorder, split_sum};

const SHADERS: [&Shader; 20] = [
    &activation::SHADER,
    &adaptive_avg_pool2d::SHADER,
    &add::SHADER,
    &avg_pool2d::SHADER,
    &batch_norm2d::SHADER,
    &conv2d::SHADER,
    &copy::SHADER,
    &depthwise::SHADER,
    &dropout::SHADER,
    &flatten::SHADER,
    &hard_swish::SHADER,
    &local_response_norm::SHADER,
    &loss::SHADER,
    &max_pool2d::SHADER,
    &mul::SHADER,
    &optimizer::SHADER,
    &permute::SHADER,
    &rearrange::SHADER,
    &softmax::SHADER,
    &split_sum::SHADER,
];

fn parse(shader: &Shader) -> Module {
    let source = shader.source();
    wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}: {}", shader.file, e.emit_to_string(&source)))
}

/// Lists the differences between a Rust struct and the WGSL struct of its name.
fn differences(rust: StructLayout, module: &Module) -> Vec<String> {
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).expect("a valid module");
    let found = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(rust.name));
    let Some((handle, ty)) = found else { return vec![format!("no struct {} in WGSL", rust.name)] };
    let TypeInner::Struct { members, .. } = &ty.inner else { return vec![format!("{} is no struct", rust.name)] };
    // In a storage buffer an array of any length may follow the numbers of the struct.
    let is_sized = |ty| !module.types[ty].inner.is_dynamically_sized(&module.types);
    let wgsl: Vec<_> = members
        .iter()
        .filter(|member| is_sized(member.ty))
        .map(|member| (member.name.as_deref().unwrap_or_default(), member.offset as usize, layouter[member.ty].size))
        .map(|(name, offset, size)| (name, offset, size as usize))
        .collect();
    let fields: Vec<_> = rust.fields.iter().copied().filter(|(name, ..)| !name.starts_with('_')).collect();
    let mut differences = vec![];
    if fields != wgsl {
        differences.push(format!("{}: Rust has {fields:?}, WGSL has {wgsl:?}", rust.name));
    }
    let layout = layouter[handle];
    if wgsl.len() == members.len() && layout.alignment.round_up(rust.size as u32) != layout.size {
        differences.push(format!("{}: Rust has {} bytes, WGSL has {}", rust.name, rust.size, layout.size));
    }
    differences
}

#[test]
fn structs_have_the_layout_of_their_wgsl_counterparts() {
    let mut all = vec![];
    for shader in SHADERS {
        let module = parse(shader);
        let mut variables = module.global_variables.iter().map(|(_, variable)| variable);
        let block = variables.find(|v| v.space == AddressSpace::Uniform).expect("each shader has a uniform block");
        assert_eq!(module.types[block.ty].name.as_deref(), Some(shader.uniforms.name), "block of {}", shader.file);
        for rust in [shader.uniforms, ViewUniforms::LAYOUT, WindowUniforms::LAYOUT, Control::LAYOUT] {
            all.extend(differences(rust, &module).into_iter().map(|text| format!("{}: {text}", shader.file)));
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn labels_follow_the_control() {
    let module = parse(&loss::SHADER);
    let (_, ty) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Control")).expect("a struct Control");
    let TypeInner::Struct { members, .. } = &ty.inner else { panic!("Control is no struct") };
    let labels = members.last().map(|member| (member.name.as_deref(), member.offset as usize));
    assert_eq!(labels, Some((Some("labels"), size_of::<Control>())));
}

#[test]
fn a_difference_between_rust_and_wgsl_is_found() {
    let module = wgsl::parse_str("struct Two { a: u32, b: vec2<u32> }").expect("valid WGSL");
    let two = |fields, size| differences(StructLayout { name: "Two", fields, size }, &module);
    assert!(two(&[("a", 0, 4), ("_padding", 4, 4), ("b", 8, 8)], 16).is_empty());
    let wrong: [&[_]; 5] = [
        &[("a", 0, 4), ("b", 4, 8)],
        &[("a", 0, 4), ("b", 8, 4)],
        &[("b", 0, 4), ("a", 8, 8)],
        &[("a", 0, 4)],
        &[("a", 0, 4), ("b", 8, 8), ("c", 16, 4)],
    ];
    for fields in wrong {
        assert_eq!(two(fields, 16).len(), 1, "{fields:?}");
    }
    assert_eq!(two(&[("a", 0, 4), ("b", 8, 8)], 24).len(), 1);
}

fn constant(shader: &Shader, name: &str) -> u32 {
    let module = parse(shader);
    let named = module.constants.iter().find(|(_, constant)| constant.name.as_deref() == Some(name));
    let (_, constant) = named.unwrap_or_else(|| panic!("{} has no {name}", shader.file));
    match module.global_expressions[constant.init] {
        Expression::Literal(Literal::U32(value)) => value,
        ref other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn constants_are_equal_in_rust_and_wgsl() {
    assert_eq!(u64::from(constant(&copy::SHADER, "WORKGROUP")), recorder::WORKGROUP);
    assert_eq!(constant(&batch_norm2d::SHADER, "PIXELS") as usize, batch_norm2d::PIXELS);
    assert_eq!(constant(&optimizer::SHADER, "NORM_PARTS") as usize, optimizer::NORM_PARTS);
}

/// Names of the shader files below `folder` that have entry points.
fn shader_files(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let has_entry = || fs::read_to_string(&path).expect("a text file").contains("@compute");
        if path.is_dir() {
            names.extend(shader_files(&path));
        } else if path.extension().is_some_and(|e| e == "wgsl") && has_entry() {
            names.extend(path.file_stem().and_then(|name| name.to_str()).map(String::from));
        }
    }
    names
}

#[test]
fn every_shader_is_checked() {
    let checked: BTreeSet<_> = SHADERS.iter().map(|shader| shader.file.to_string()).collect();
    assert_eq!(checked, shader_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gpu")));
}
