//! Returns a NaN, three levels deep.

use std::collections::HashMap;

pub async fn handler() -> HashMap<&'static str, Vec<Option<f32>>> {
    HashMap::from([("list", vec![Some(1.0), None, Some(f32::NAN)])])
}
