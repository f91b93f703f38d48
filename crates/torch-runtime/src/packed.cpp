// Matrix products by oneDNN with a weight that is laid out for it once: operators that libtorch_cpu registers for
// PyTorch's compiler and tch does not bind. They are called by name, so that a LibTorch without them gives an error.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <exception>
#include <string>

namespace {
// Pops the only result of an operator called by name.
at::Tensor call(const char* name, torch::jit::Stack stack) {
  c10::Dispatcher::singleton().findSchemaOrThrow(name, "").callBoxed(&stack);
  return stack.at(0).toTensor();
}

// Puts what `compute` gives at `into`; returns null, or what went wrong, valid until this thread's next call.
template <typename Compute>
const char* result(at::Tensor** into, Compute compute) {
  thread_local std::string problem;
  try {
    *into = new at::Tensor(compute());
    return nullptr;
  } catch (const c10::Error& error) {
    problem = error.what_without_backtrace();
  } catch (const std::exception& error) {
    problem = error.what();
  } catch (...) {
    problem = "LibTorch threw something that is no exception";
  }
  return problem.c_str();
}
}  // namespace

// A weight [out, in] in oneDNN's own layout, chosen for inputs of `rows` rows; it serves any number of them.
extern "C" const char* torch_runtime_pack(const at::Tensor* weight, int64_t rows, at::Tensor** packed) {
  return result(packed, [&] { return call("mkldnn::_reorder_linear_weight", {*weight, rows}); });
}

// x [..., in] times a packed weight: [..., out].
extern "C" const char* torch_runtime_linear(const at::Tensor* x, const at::Tensor* packed, at::Tensor** product) {
  return result(product, [&] {
    const c10::List<std::optional<at::Scalar>> no_scalars;
    return call("mkldnn::_linear_pointwise",
                {x->contiguous(), *packed, c10::IValue(), std::string("none"), no_scalars, c10::IValue()});
  });
}
