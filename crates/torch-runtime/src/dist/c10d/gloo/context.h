// Declarations only. LibTorch contains Gloo, and c10d's headers name these of its types, but its package brings none of
// Gloo's own headers. No object of them is made here (`tests/symbols.rs` sees to it).
#pragma once
#include <chrono>
namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds);
};
}  // namespace gloo
