#!/usr/bin/env bash
# Trains what figure 9 of the notes compares: plain networks of 20 and 44 layers and their residual twins, one recipe for
# all, and draws docs/figure9.svg from the log, docs/figure9.jsonl. An interrupted run goes on where it stopped.
#   scripts/figure9.sh CIFAR10 [WORK]
# CIFAR10 has the folders `train` and `test`, in each a folder per class; WORK is where runs are kept (target/figure9).
# CONVOKE is the command, if it is not to be built.
set -euo pipefail
data=$(realpath "${1:?the folder of CIFAR-10: make figure9 CIFAR10=FOLDER}")
work=${2:-$(dirname "$0")/../target/figure9}
mkdir -p "$work"
work=$(realpath "$work")
cd "$(dirname "$0")/.."
if [ -z "${CONVOKE:-}" ]; then
  cargo build --release --quiet --bin convoke
  CONVOKE=target/release/convoke
fi

networks=(plain44 resnet44 plain20 resnet20)
for network in "${networks[@]}"; do
  out=$work/$network.safetensors
  [ -f "$out" ] && continue
  resume=()
  [ -f "$out.checkpoint" ] && resume=(--resume "$out.checkpoint")
  "$CONVOKE" train "$network" --width 8 --data "$data" --images 10000 --epochs 16 --batch 64 --lr 0.05 \
    --schedule step --every 12 --gamma 0.1 --warmup 1 --weight-decay 0.0001 --augment shift=2,flip --seed 1 --threads 1 \
    --log "$work/$network.jsonl" --out "$out" ${resume[@]+"${resume[@]}"}
done
for network in "${networks[@]}"; do cat "$work/$network.jsonl"; done >docs/figure9.jsonl
cargo run --release --quiet --example figure9 -- docs/figure9.jsonl docs/figure9.svg
