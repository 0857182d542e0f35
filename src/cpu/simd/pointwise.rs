//! Functions applied to maps, value by value.

use super::isa::Simd;
use super::map::{Copy, Lanewise, Sum, map_raw};
use crate::cpu::memory::{Map, split, stretches};
use crate::cpu::pool::Pool;

/// `f` of the last arguments, added to the first if `add`, so that one loop serves both.
struct Onto<F> {
    f: F,
    add: bool,
}

impl<F: Lanewise<2>> Lanewise<3> for Onto<F> {
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, [old, y, dy]: [S::F32; 3]) -> S::F32 {
        let new = self.f.apply(s, [y, dy]);
        if self.add { s.add(old, new) } else { new }
    }
}

/// Applies f to maps, value by value: `to = f(from)`.
///
/// # Panics
/// Unless the maps have equal numbers of pixels and channels, and `to` is one of `from` or overlaps none of them.
pub(crate) fn on_maps<const N: usize, F: Lanewise<N> + Sync>(pool: &Pool, f: &F, from: [&Map; N], to: &Map) {
    let dense = to.dense() && from.iter().all(|m| m.dense());
    assert!(from.iter().all(|m| (m.pixels, m.view.c) == (to.pixels, to.view.c)), "maps of several geometries");
    assert!(from.iter().all(|m| to.is_same(m) || to.is_apart(m)), "a step writes where it reads");
    split(pool, to.pixels, to.view.c, |range| {
        stretches(dense, to.view.c, range, |p, n| {
            // SAFETY: the stretch lies in every map, one task alone has it, and `to` is one of `from` or apart from it.
            unsafe { map_raw(f, from.map(|m| m.at(p).cast_const()), to.at(p), n) };
        });
    });
}

/// Computes `to = f(from)`, or `to += f(from)` when `accumulate`.
///
/// # Panics
/// For the maps that [`on_maps`] refuses.
pub(crate) fn write<F: Lanewise<2> + Sync>(pool: &Pool, f: F, from: [&Map; 2], to: &Map, accumulate: bool) {
    on_maps(pool, &Onto { f, add: accumulate }, [to, from[0], from[1]], to);
}

/// Copies `to = from`, or adds `to += from` when `accumulate`.
///
/// # Panics
/// For the maps that [`on_maps`] refuses.
pub(crate) fn transfer(pool: &Pool, from: &Map, to: &Map, accumulate: bool) {
    if accumulate { on_maps(pool, &Sum, [to, from], to) } else { on_maps(pool, &Copy, [from], to) }
}
