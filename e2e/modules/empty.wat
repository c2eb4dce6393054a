;; The least that a proxy-wasm filter can be: Envoy calls it for every chunk, and it lets the chunk go on. What Postern
;; costs is measured against it, too: no filter costs less.
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $len i32) (result i32) i32.const 0)
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_body") (param $context i32) (param $len i32) (param $end i32) (result i32)
    i32.const 0)
  (func (export "proxy_on_response_body") (param $context i32) (param $len i32) (param $end i32) (result i32)
    i32.const 0))
