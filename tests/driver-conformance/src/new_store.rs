//! A store that was never initialised: the run gives it an id, so what the contract says of one without is asked before
//! that, and kept for the checks.

use longshore_driver_proto::v1;

use crate::call::Call;
use crate::connection::{Connection, handshake};

const STORE_ID: &str = ".driver/store-id";

/// What a driver said while its store had no id.
#[derive(Debug)]
pub struct NewStore {
    /// Of a Handshake that expects some store (contract clause H6).
    pub expected: Call<v1::HandshakeResponse>,
    /// Of Puts of ids that are none (contract clause K4), up to the first that was taken.
    pub bad_ids: Vec<(String, Call<v1::Object>)>,
}

impl NewStore {
    /// Asks, and gives the store an id. What is wrong with a driver that takes none, the checks of the store's id tell.
    pub async fn initialise(connection: &Connection) -> Self {
        let expected = connection.handshake_with(expecting("not-this-store")).await;
        let mut bad_ids = Vec::new();
        for id in none() {
            let put = connection.put_new(STORE_ID, id.clone()).await;
            let is_taken = put.is_ok();
            bad_ids.push((id, put));
            if is_taken {
                break;
            }
        }
        let _ = connection.put_new(STORE_ID, "made-by-longshore-driver-check").await;
        Self { expected, bad_ids }
    }
}

/// A Handshake of a core that wants one store and no other.
pub fn expecting(store_id: &str) -> v1::HandshakeRequest {
    v1::HandshakeRequest { expected_store_id: Some(store_id.to_owned()), ..handshake() }
}

/// Texts that are no ids of a store.
pub fn none() -> [String; 6] {
    ["a_b", "a b", "../x", "id\n", "", &"x".repeat(65)].map(str::to_owned)
}
