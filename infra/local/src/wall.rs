//! Where a function ends up when it reaches for the other side of the network: in the VPC for an AWS
//! service, outside of it for Redis. Deployed, such a call would hang until it timed out; here it is
//! refused and remembered.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{net::TcpListener, task::JoinHandle};

/// A listener that refuses everybody.
#[derive(Debug)]
pub(crate) struct Wall {
    address: SocketAddr,
    hits: Arc<Mutex<u64>>,
    task: JoinHandle<()>,
}

impl Wall {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let hits = Arc::new(Mutex::new(0));
        let counted = hits.clone();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                *counted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                tracing::error!("a function reached for the other side of the VPC's border");
                drop(connection);
            }
        });
        Ok(Self {
            address,
            hits,
            task,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn hits(&self) -> u64 {
        *self.hits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.task.abort();
    }
}
