//! Convolution.

use serde::{Deserialize, Serialize};

use super::definition::{LayerDef, Mismatch, ParamSpec, Role, only_map};
use super::reference::{Gradients, Mode, Reference};
use super::window::{Padding, Window};
use crate::tensor::{Shape, Tensor};

/// Convolution (the notes' section 1.1; section 4 for kernels of 1x1):
/// `y[o, i, j] = b[o] + sum over c, k, l of w[o, c, k, l] * x[c, i*s + k*d - p, j*s + l*d - p]`, where s is the stride, d
/// the dilation, p the padding, and c runs over the input channels of o's group.
///
/// # Shapes
/// Input `[C, H, W]`; output `[out_channels, OH, OW]` by the window ([`Window`]). Parameters: `weight`
/// `[out_channels, C / groups, KH, KW]` and, with a bias, `bias` `[out_channels]`.
///
/// # Examples
/// ```
/// use convoke::layers::{Conv2d, LayerDef, Padding};
/// use convoke::tensor::Shape;
/// let conv = Conv2d::new(16, 3).stride(2).padding(Padding::Same);
/// let input = [Shape::from([3, 32, 32])];
/// assert_eq!(conv.output_shape(&input)?, Shape::from([16, 16, 16]));
/// assert_eq!(conv.params(&input)[0].shape, [16, 3, 3, 3]);
/// # Ok::<(), convoke::layers::Mismatch>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// The output's channels, each from a filter of its own; a positive multiple of `groups`.
    pub out_channels: usize,
    /// The window; `ceil_mode` must be false.
    pub window: Window,
    /// The number of groups, a divisor of the input's channels; 1 by default. The outputs of a group see only the inputs of
    /// that group. With one input channel for each group the convolution is depthwise.
    pub groups: usize,
    /// Whether a bias is added; true by default.
    pub bias: bool,
}

impl Conv2d {
    /// Returns a convolution with `out_channels` square filters, stride 1, no padding, one group and a bias.
    pub const fn new(out_channels: usize, kernel: usize) -> Self {
        Conv2d { out_channels, window: Window::new(kernel), groups: 1, bias: true }
    }

    /// Sets the stride of both axes.
    pub const fn stride(mut self, s: usize) -> Self {
        self.window.stride = [s; 2];
        self
    }

    /// Sets the padding.
    pub const fn padding(mut self, padding: Padding) -> Self {
        self.window.padding = padding;
        self
    }

    /// Sets the dilation of both axes.
    pub const fn dilation(mut self, d: usize) -> Self {
        self.window.dilation = [d; 2];
        self
    }

    /// Sets the number of groups.
    pub const fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Removes the bias.
    pub const fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Calls `mac(index in y, index in w, index in x)` for each product of the formula.
    fn for_each_mac(&self, x: [usize; 4], y: [usize; 4], mut mac: impl FnMut(usize, usize, usize)) {
        let [n, ci, h, w] = x;
        let [_, co, oh, ow] = y;
        let (cig, cog) = (ci / self.groups, co / self.groups);
        let [kh, kw] = self.window.kernel;
        self.window.for_each_tap([h, w], [oh, ow], |[oy, ox], [ky, kx], [iy, ix]| {
            for s in 0..n {
                for o in 0..co {
                    for c in 0..cig {
                        let channel = o / cog * cig + c;
                        mac(
                            ((s * co + o) * oh + oy) * ow + ox,
                            ((o * cig + c) * kh + ky) * kw + kx,
                            ((s * ci + channel) * h + iy) * w + ix,
                        );
                    }
                }
            }
        });
    }
}

impl LayerDef for Conv2d {
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, Mismatch> {
        let (c, h, w) = only_map(inputs)?;
        if self.groups == 0 || !c.is_multiple_of(self.groups) {
            return Err(Mismatch::new("groups", format!("a divisor of {c} input channels"), self.groups));
        }
        if self.out_channels == 0 || !self.out_channels.is_multiple_of(self.groups) {
            let expected = format!("a positive multiple of {} groups", self.groups);
            return Err(Mismatch::new("output channels", expected, self.out_channels));
        }
        if self.window.ceil_mode {
            return Err(Mismatch::new("ceil_mode", false, true));
        }
        let [oh, ow] = self.window.output([h, w])?;
        Ok(Shape::from([self.out_channels, oh, ow]))
    }

    fn params(&self, inputs: &[Shape]) -> Vec<ParamSpec> {
        let [kh, kw] = self.window.kernel;
        let cig = inputs[0].chw().0 / self.groups;
        let weight = ParamSpec {
            name: "weight",
            shape: vec![self.out_channels, cig, kh, kw],
            role: Role::Weight {
                fan_in: cig.saturating_mul(kh * kw),
                fan_out: (self.out_channels / self.groups).saturating_mul(kh * kw),
            },
        };
        std::iter::once(weight).chain(self.bias.then(|| ParamSpec::bias(self.out_channels))).collect()
    }

    fn macs(&self, inputs: &[Shape], output: &Shape) -> u64 {
        let [kh, kw] = self.window.kernel;
        (output.elements() as u64).saturating_mul((inputs[0].chw().0 / self.groups * kh * kw) as u64)
    }
}

impl Reference for Conv2d {
    fn forward(&self, x: &[&Tensor<f64>], params: &[&Tensor<f64>], _mode: Mode) -> Tensor<f64> {
        let (x, weight) = (x[0], params[0]);
        let [n, _, h, w] = x.nchw();
        let [oh, ow] = self.window.output([h, w]).expect("shape was checked by the graph");
        let mut y = Tensor::zeros([n, self.out_channels, oh, ow]);
        if let Some(bias) = params.get(1) {
            for (i, v) in y.data.iter_mut().enumerate() {
                *v = bias.data[i / (oh * ow) % self.out_channels];
            }
        }
        self.for_each_mac(x.nchw(), y.nchw(), |yi, wi, xi| y.data[yi] += weight.data[wi] * x.data[xi]);
        y
    }

    fn backward(
        &self,
        x: &[&Tensor<f64>],
        params: &[&Tensor<f64>],
        _y: &Tensor<f64>,
        dy: &Tensor<f64>,
        _mode: Mode,
    ) -> Gradients {
        let (x, weight) = (x[0], params[0]);
        let mut dx = Tensor::zeros(x.shape.clone());
        let mut dw = Tensor::zeros(weight.shape.clone());
        self.for_each_mac(x.nchw(), dy.nchw(), |yi, wi, xi| {
            dx.data[xi] += weight.data[wi] * dy.data[yi];
            dw.data[wi] += x.data[xi] * dy.data[yi];
        });
        let mut grads = vec![dw];
        if self.bias {
            let [_, co, oh, ow] = dy.nchw();
            let mut db = Tensor::zeros([co]);
            for (i, dy) in dy.data.iter().enumerate() {
                db.data[i / (oh * ow) % co] += dy;
            }
            grads.push(db);
        }
        Gradients { inputs: vec![dx], params: grads }
    }
}
