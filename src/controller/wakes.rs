//! Has an object's loop look again, though nothing about the object itself has changed.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Resource;
use kube::runtime::reflector::ObjectRef;

/// The way to the loops, one for each watched namespace, or one for all.
pub struct Wakes<K: Resource<DynamicType = ()>>(Vec<(Option<String>, UnboundedSender<ObjectRef<K>>)>);

impl<K: Resource<DynamicType = ()>> Clone for Wakes<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Resource<DynamicType = ()>> Wakes<K> {
    /// One receiver for each of the namespaces, in their order.
    pub fn new(namespaces: &[Option<String>]) -> (Self, Vec<UnboundedReceiver<ObjectRef<K>>>) {
        let (senders, receivers) = namespaces
            .iter()
            .map(|namespace| {
                let (sender, receiver) = unbounded();
                ((namespace.clone(), sender), receiver)
            })
            .unzip();
        (Self(senders), receivers)
    }

    /// Wakes one object. In a namespace that is not watched nobody listens.
    pub fn send(&self, namespace: &str, name: &str)
    where
        ObjectRef<K>: Sized,
    {
        let listens = |watched: &&(Option<String>, _)| watched.0.as_deref().is_none_or(|watched| watched == namespace);
        if let Some((_, sender)) = self.0.iter().find(listens) {
            let mut reference = ObjectRef::new_with(name, ());
            reference.namespace = Some(namespace.to_owned());
            // The receiver ends with the process.
            let _ = sender.unbounded_send(reference);
        }
    }
}
