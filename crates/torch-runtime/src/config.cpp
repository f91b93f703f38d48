// What this crate needs from C++: two calls that torch-sys does not bind, and one precaution before the first product.
#include <cstdlib>
#include <map>
#include <string>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace at {
std::string get_cpu_capability();
}
namespace caffe2 {
const std::map<std::string, std::string>& GetBuildOptions();
}

// The release of the loaded LibTorch, `2.13.0`. Not at::show_config(): that asks for CUDA before libtorch_cuda.so is in
// the process, and the answer "none" is kept for good.
extern "C" const char* torch_runtime_version() {
  try {
    const auto& options = caffe2::GetBuildOptions();
    const auto found = options.find("TORCH_VERSION");
    return found == options.end() ? "" : found->second.c_str();
  } catch (...) {
    return "";
  }
}

// The instruction set that LibTorch's own kernels use here, `AVX512`.
extern "C" const char* torch_runtime_cpu_capability() {
  try {
    static const std::string capability = at::get_cpu_capability();
    return capability.c_str();
  } catch (...) {
    return "";
  }
}

#if defined(__x86_64__) && defined(__unix__)
namespace {
// Whether ATEN_CPU_CAPABILITY keeps LibTorch's own kernels below AVX-512. (Other values mean nothing to it.)
bool kernels_below_avx512() {
  const char* capability = std::getenv("ATEN_CPU_CAPABILITY");
  return capability != nullptr && (std::string(capability) == "avx2" || std::string(capability) == "default");
}

// oneDNN is told to stop below AMX where AMX announced in leaf 7 does not compute:
// Some virtual machines hide the sizes of its tiles (leaf 0x1d). oneDNN then configures tiles of size zero, and the first
// bf16 product ends the program with SIGILL.
// LibTorch's attention in bf16 arranges its numbers for oneDNN's tiles by a kernel that exists for AVX-512 alone; where
// it is held below that, each call fails ("pack_vnni2 is only supported when avx512 is supported").
// A variable the user has set is left alone. Runs before main, while there is one thread.
__attribute__((constructor)) void avoid_amx_that_fails() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned amx_tile = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & amx_tile)) return;
  const bool sizes_known = __get_cpuid_count(0x1d, 1, &a, &b, &c, &d) && a != 0;
  if (!sizes_known || kernels_below_avx512()) setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16", 0);
}
}  // namespace
#endif
