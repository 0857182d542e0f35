//! A network with a new head.

use wasm_bindgen::prelude::*;

use super::Network;
use crate::train::transfer;

#[wasm_bindgen]
impl Network {
    /// The part of the network that ends in this layer, with a head behind it that is to be replaced.
    pub fn cut(&self, layer: &str) -> Result<Network, JsValue> {
        Ok(Network::of(transfer::cut(&self.model()?, layer)?, self.pool.clone()))
    }

    /// The part of the network before its head, to be planned.
    pub fn body(&self) -> Result<Network, JsValue> {
        Ok(Network::of(transfer::body(&self.model()?)?, self.pool.clone()))
    }

    /// A head with fresh weights for these classes, to be planned and trained.
    #[wasm_bindgen(js_name = newHead)]
    pub fn new_head(&self, classes: Vec<String>, seed: u32) -> Result<Network, JsValue> {
        Ok(Network::of(transfer::new_head(&self.model()?, classes, seed)?, self.pool.clone()))
    }

    /// The network with this head in place of its own, to be planned.
    #[wasm_bindgen(js_name = withHead)]
    pub fn with_head(&self, head: &Network) -> Result<Network, JsValue> {
        Ok(Network::of(transfer::with_head(&self.model()?, &head.model()?)?, self.pool.clone()))
    }
}
