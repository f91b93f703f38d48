//! `NumPy` itself reads the arrays: `LLAMA_CCS_PYTHON`, or `python3` where it has numpy.

use std::process::Command;

use activations::StoreDtype;

use crate::support::{KINDS, plan_of, value};

const SCRIPT: &str = r"
import sys, json, numpy as np
a = np.load(sys.argv[1], mmap_mode='r')
assert isinstance(a, np.memmap) and a.flags['C_CONTIGUOUS'] and a.ctypes.data % 64 == 0, (type(a), a.flags)
print(json.dumps({'shape': a.shape, 'dtype': str(a.dtype), 'values': a.astype('f8').ravel().tolist()}))
";

#[test]
fn numpy_maps_every_array() {
    let Some(python) = test_material::python("numpy") else { return };
    let types = [(StoreDtype::F32, "float32"), (StoreDtype::F16, "float16")];
    for (kind, (dtype, name)) in KINDS[..2].iter().copied().flat_map(|kind| types.map(|of| (kind, of))) {
        let (dir, plan) = (tempfile::tempdir().unwrap(), plan_of(kind, dtype));
        let store = plan.complete(dir.path()).unwrap();
        for (number, column) in plan.manifest.columns.iter().enumerate() {
            for &side in kind.sides() {
                let reader = store.column(&column.name()).unwrap();
                let output = Command::new(&python)
                    .args(["-c", SCRIPT])
                    .arg(reader.path(side).unwrap())
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let seen: activations::serde_json::Value =
                    activations::serde_json::from_slice(&output.stdout).unwrap();
                let shape: Vec<usize> = std::iter::once(7).chain(column.shape.iter().copied()).collect();
                let values: Vec<f64> = (0..7)
                    .flat_map(|row| (0..column.row_len()).map(move |i| value(number, side, row, i).into()))
                    .collect();
                let name = if column.shape.is_empty() { "float32" } else { name };
                let expected =
                    activations::serde_json::json!({"shape": shape, "dtype": name, "values": values});
                assert_eq!(seen, expected, "{} {side}", column.name());
            }
        }
    }
}

/// The three lines that `FORMAT.md` shows.
const RAGGED: &str = r"
import sys, json, numpy as np
store, side = sys.argv[1:]
states = np.load(f'{store}/blocks.1.hook_resid_post@all/{side}.npy', mmap_mode='r')
offsets, ids = (np.load(f'{store}/tokens/{side}_{what}.npy') for what in ('offsets', 'ids'))
rows = [states[offsets[i]:offsets[i + 1]] for i in range(len(offsets) - 1)]
assert ids.dtype == np.dtype('<u4') and offsets.dtype == np.dtype('<u8') and states.shape == (len(ids), 3)
print(json.dumps({'rows': [row.astype('f8').ravel().tolist() for row in rows], 'ids': ids.tolist()}))
";

#[test]
fn numpy_reads_the_tokens_of_a_row() {
    let Some(python) = test_material::python("numpy") else { return };
    for kind in &KINDS[2..] {
        let (dir, plan) = (tempfile::tempdir().unwrap(), plan_of(*kind, StoreDtype::F16));
        plan.complete(dir.path()).unwrap();
        let number = plan.manifest.columns.iter().position(activations::Column::is_ragged).unwrap();
        for (side, tokens) in plan.ids.as_ref().unwrap().sides() {
            let output = Command::new(&python).args(["-c", RAGGED]).arg(dir.path()).arg(side.name()).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let seen: activations::serde_json::Value =
                activations::serde_json::from_slice(&output.stdout).unwrap();
            let rows: Vec<Vec<f32>> = (0..7).map(|row| plan.of_row(number, side, row)).collect();
            assert_eq!(seen, activations::serde_json::json!({ "rows": rows, "ids": tokens.ids }), "{side}");
        }
    }
}
