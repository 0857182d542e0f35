// The networks of the benchmark, with torchvision's shapes, numbers of parameters and layer names, so that the safetensors
// file loads by those keys. GoogLeNet is without its auxiliary heads, dropout is left out.
import { Builder } from "./graph.mjs";

/** The modern LeNet-5: ReLU, max pooling, 61,706 parameters. */
function lenet5() {
  const b = new Builder("lenet5", [1, 1, 32, 32]);
  let x = b.maxpool(b.relu(b.conv("conv1", "x", 6, 5)), 2, 2);
  x = b.maxpool(b.relu(b.conv("conv2", x, 16, 5)), 2, 2);
  x = b.relu(b.fc("fc1", b.flatten(x), 120));
  x = b.relu(b.fc("fc2", x, 84));
  return b.finish(b.fc("fc3", x, 10, 1), 61_706);
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
  return b.finish(b.fc("classifier.6", x, 1000, 1), 138_357_544);
}

function alexnet() {
  const b = new Builder("alexnet", [1, 3, 224, 224]);
  let x = b.maxpool(b.relu(b.conv("features.0", "x", 64, 11, { s: 4, p: 2 })), 3, 2);
  x = b.maxpool(b.relu(b.conv("features.3", x, 192, 5, { p: 2 })), 3, 2);
  x = b.relu(b.conv("features.6", x, 384, 3, { p: 1 }));
  x = b.relu(b.conv("features.8", x, 256, 3, { p: 1 }));
  x = b.maxpool(b.relu(b.conv("features.10", x, 256, 3, { p: 1 })), 3, 2); // 6x6: the adaptive pooling changes nothing
  x = b.relu(b.fc("classifier.1", b.flatten(x), 4096));
  x = b.relu(b.fc("classifier.4", x, 4096));
  return b.finish(b.fc("classifier.6", x, 1000, 1), 61_100_840);
}

function googlenet() {
  const b = new Builder("googlenet", [1, 3, 224, 224]);
  const unit = (name, x, c, k, o) =>
    b.relu(b.bn(`${name}.bn`, b.conv(`${name}.conv`, x, c, k, { ...o, bias: false }), { epsilon: 1e-3 }));
  const inception = (name, x, [c1, r3, c3, r5, c5, pool]) =>
    b.concat([
      unit(`${name}.branch1`, x, c1, 1),
      unit(`${name}.branch2.1`, unit(`${name}.branch2.0`, x, r3, 1), c3, 3, { p: 1 }),
      unit(`${name}.branch3.1`, unit(`${name}.branch3.0`, x, r5, 1), c5, 3, { p: 1 }), // 3x3 in torchvision
      unit(`${name}.branch4.1`, b.maxpool(x, 3, 1, 1, true), pool, 1),
    ]);
  let x = b.maxpool(unit("conv1", "x", 64, 7, { s: 2, p: 3 }), 3, 2, 0, true);
  x = b.maxpool(unit("conv3", unit("conv2", x, 64, 1), 192, 3, { p: 1 }), 3, 2, 0, true);
  for (const [name, ...channels] of [
    ["3a", 64, 96, 128, 16, 32, 32],
    ["3b", 128, 128, 192, 32, 96, 64],
    ["4a", 192, 96, 208, 16, 48, 64],
    ["4b", 160, 112, 224, 24, 64, 64],
    ["4c", 128, 128, 256, 24, 64, 64],
    ["4d", 112, 144, 288, 32, 64, 64],
    ["4e", 256, 160, 320, 32, 128, 128],
    ["5a", 256, 160, 320, 32, 128, 128],
    ["5b", 384, 192, 384, 48, 128, 128],
  ]) {
    x = inception(`inception${name}`, x, channels);
    if (name === "3b") x = b.maxpool(x, 3, 2, 0, true);
    if (name === "4e") x = b.maxpool(x, 2, 2, 0, true);
  }
  return b.finish(b.fc("fc", b.flatten(b.gap(x)), 1000, 1), 6_624_904);
}

function densenet121() {
  const b = new Builder("densenet121", [1, 3, 224, 224]);
  const normalized = (name, x) => b.relu(b.bn(name, x));
  const conv = (name, x, c, k, o) => b.conv(name, x, c, k, { ...o, bias: false });
  let x = b.maxpool(normalized("features.norm0", conv("features.conv0", "x", 64, 7, { s: 2, p: 3 })), 3, 2, 1);
  [6, 12, 24, 16].forEach((layers, block) => {
    if (block > 0) {
      const at = `features.transition${block}`;
      x = b.avgpool(conv(`${at}.conv`, normalized(`${at}.norm`, x), b.shapes[x][0] / 2, 1), 2, 2);
    }
    for (let i = 1; i <= layers; i++) {
      const at = `features.denseblock${block + 1}.denselayer${i}`;
      const y = normalized(`${at}.norm2`, conv(`${at}.conv1`, normalized(`${at}.norm1`, x), 128, 1));
      x = b.concat([x, conv(`${at}.conv2`, y, 32, 3, { p: 1 })]); // two by two, as in Keras: XNNPACK takes five at most
    }
  });
  const y = b.flatten(b.gap(normalized("features.norm5", x)));
  return b.finish(b.fc("classifier", y, 1000, 1), 7_978_856);
}

function squeezenet() {
  const b = new Builder("squeezenet1_1", [1, 3, 224, 224]);
  const fire = (n, x, squeeze, expand) => {
    const y = b.relu(b.conv(`features.${n}.squeeze`, x, squeeze, 1));
    return b.concat([
      b.relu(b.conv(`features.${n}.expand1x1`, y, expand, 1)),
      b.relu(b.conv(`features.${n}.expand3x3`, y, expand, 3, { p: 1 })),
    ]);
  };
  const halved = (x) => b.maxpool(x, 3, 2, 0, true);
  let x = halved(b.relu(b.conv("features.0", "x", 64, 3, { s: 2 })));
  x = halved(fire(4, fire(3, x, 16, 64), 16, 64));
  x = halved(fire(7, fire(6, x, 32, 128), 32, 128));
  x = fire(10, fire(9, x, 48, 192), 48, 192);
  x = fire(12, fire(11, x, 64, 256), 64, 256);
  return b.finish(b.flatten(b.gap(b.relu(b.conv("classifier.1", x, 1000, 1)))), 1_235_496);
}

function mobilenet() {
  const b = new Builder("mobilenet_v2", [1, 3, 224, 224]);
  const unit = (conv, bn, x, c, k, o) => b.bn(bn, b.conv(conv, x, c, k, { ...o, bias: false }));
  let x = b.relu6(unit("features.0.0", "features.0.1", "x", 32, 3, { s: 2, p: 1 })),
    n = 1;
  for (const [expand, c, repeats, stride] of [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
  ])
    for (let i = 0; i < repeats; i++, n++) {
      const at = `features.${n}.conv`,
        [cin] = b.shapes[x],
        wide = cin * expand,
        s = i === 0 ? stride : 1;
      let y = x,
        j = 0;
      if (expand > 1) y = b.relu6(unit(`${at}.${j}.0`, `${at}.${j++}.1`, y, wide, 1));
      y = b.relu6(unit(`${at}.${j}.0`, `${at}.${j++}.1`, y, wide, 3, { s, p: 1, g: wide }));
      y = unit(`${at}.${j}`, `${at}.${j + 1}`, y, c, 1);
      x = s === 1 && cin === c ? b.add(x, y) : y;
    }
  x = b.relu6(unit("features.18.0", "features.18.1", x, 1280, 1));
  return b.finish(b.fc("classifier.1", b.flatten(b.gap(x)), 1000, 1), 3_504_872);
}

/** ResNet-8 for 32x32 images: one basic block in each of three stages, 1x1 convolutions where shapes change. */
function resnet8() {
  const b = new Builder("resnet8", [1, 3, 32, 32]);
  const unit = (n, x, c, k, o) => b.bn(`${n}.bn`, b.conv(`${n}.conv`, x, c, k, { ...o, bias: false }));
  let x = b.relu(unit("stem", "x", 16, 3, { p: 1 }));
  [16, 32, 64].forEach((c, stage) => {
    const at = `stage${stage + 1}`,
      s = stage > 0 ? 2 : 1;
    const y = unit(`${at}.2`, b.relu(unit(`${at}.1`, x, c, 3, { s, p: 1 })), c, 3, { p: 1 });
    x = b.relu(b.add(y, s > 1 ? unit(`${at}.shortcut`, x, c, 1, { s }) : x));
  });
  return b.finish(b.fc("fc", b.flatten(b.gap(x)), 10, 1), 78_042);
}

function resnet(name, blocks, bottleneck, parameters) {
  const b = new Builder(name, [1, 3, 224, 224]);
  const unit = (conv, bn, x, c, k, o, gain) => b.bn(bn, b.conv(conv, x, c, k, { ...o, bias: false }), { gain });
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
  return b.finish(b.fc("fc", b.flatten(b.gap(x)), 1000, 1), parameters);
}

export const ZOO = {
  lenet5,
  alexnet,
  googlenet,
  resnet18: () => resnet("resnet18", [2, 2, 2, 2], false, 11_689_512),
  resnet34: () => resnet("resnet34", [3, 4, 6, 3], false, 21_797_672),
  resnet50: () => resnet("resnet50", [3, 4, 6, 3], true, 25_557_032),
  densenet121,
  vgg16,
  squeezenet1_1: squeezenet,
  mobilenet_v2: mobilenet,
  resnet8,
};

/** The networks that are measured in 8 bits, too. */
export const QUANTIZED = ["resnet18", "resnet50", "vgg16"];

/** The networks that are trained, too. */
export const TRAINED = ["lenet5", "resnet8"];
