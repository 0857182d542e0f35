// The networks of the benchmark. Names of layers are torchvision's, so that the safetensors file loads by those keys.
import { Builder } from "./graph.mjs";

/** The modern LeNet-5: ReLU, max pooling, 61,706 parameters. */
function lenet5() {
  const b = new Builder("lenet5", [1, 1, 32, 32]);
  let x = b.maxpool(b.relu(b.conv("conv1", "x", 6, 5)), 2, 2);
  x = b.maxpool(b.relu(b.conv("conv2", x, 16, 5)), 2, 2);
  x = b.relu(b.fc("fc1", b.flatten(x), 120));
  x = b.relu(b.fc("fc2", x, 84));
  return b.finish(b.fc("fc3", x, 10, 1));
}

function vgg16() {
  const b = new Builder("vgg16", [1, 3, 224, 224]);
  let x = "x",
    n = 0;
  for (const c of [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]) {
    if (c === "M") {
      x = b.maxpool(x, 2, 2);
      n += 1;
    } else {
      x = b.relu(b.conv(`features.${n}`, x, c, 3, { p: 1 }));
      n += 2;
    }
  }
  x = b.relu(b.fc("classifier.0", b.flatten(x), 4096));
  x = b.relu(b.fc("classifier.3", x, 4096));
  return b.finish(b.fc("classifier.6", x, 1000, 1));
}

function resnet(name, blocks, bottleneck) {
  const b = new Builder(name, [1, 3, 224, 224]);
  const unit = (conv, bn, x, c, k, o, gain) => b.bn(bn, b.conv(conv, x, c, k, { ...o, bias: false }), gain);
  let x = b.maxpool(b.relu(unit("conv1", "bn1", "x", 64, 7, { s: 2, p: 3 })), 3, 2, 1);
  blocks.forEach((n, stage) => {
    const c = 64 << stage,
      out = bottleneck ? 4 * c : c;
    for (let i = 0; i < n; i++) {
      const at = `layer${stage + 1}.${i}`,
        s = stage > 0 && i === 0 ? 2 : 1;
      const u = (j, v, cout, k, o, gain) => unit(`${at}.conv${j}`, `${at}.bn${j}`, v, cout, k, o, gain);
      // The last batch norm's gain of 0.3 keeps random activations from growing over the depth.
      let y = bottleneck ? b.relu(u(1, x, c, 1)) : b.relu(u(1, x, c, 3, { s, p: 1 }));
      y = bottleneck ? u(3, b.relu(u(2, y, c, 3, { s, p: 1 })), out, 1, {}, 0.3) : u(2, y, c, 3, { p: 1 }, 0.3);
      const skip =
        s > 1 || b.shapes[x][0] !== out ? unit(`${at}.downsample.0`, `${at}.downsample.1`, x, out, 1, { s }) : x;
      x = b.relu(b.add(y, skip));
    }
  });
  return b.finish(b.fc("fc", b.flatten(b.gap(x)), 1000, 1));
}

export const ZOO = {
  lenet5,
  vgg16,
  resnet18: () => resnet("resnet18", [2, 2, 2, 2], false),
  resnet50: () => resnet("resnet50", [3, 4, 6, 3], true),
};
