//! House rules that no compiler checks: which folders stay pure, which paths the map may name, which licences and
//! duplicate versions the tree may contain.

mod conditions;
mod cores;
mod dependencies;
mod map;
mod tree;
