// c10d for Rust: its store over TCP, and its process group over Gloo. No exception leaves this file: every call returns
// null, or a message that the caller frees.
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace {
using Milliseconds = std::chrono::milliseconds;
using StorePtr = c10::intrusive_ptr<c10d::Store>;
using GroupPtr = c10::intrusive_ptr<c10d::ProcessGroupGloo>;

template <typename Call>
char* guarded(Call call) noexcept {
  try {
    call();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("something was thrown that is no exception");
  }
}

// c10d writes what goes wrong to stderr, with the frames of its C++; every error arrives in Rust as a value as well.
void be_quiet() {
  static std::once_flag once;
  std::call_once(once, [] {
    setenv("TORCH_CPP_LOG_LEVEL", "FATAL", 0);
    c10::initLogging();
  });
}

std::vector<at::Tensor> one(const at::Tensor* tensor) { return {*tensor}; }
}  // namespace

extern "C" {

char* torch_runtime_store_connect(const char* host, int port, bool serve, int64_t timeout, StorePtr** store) {
  be_quiet();
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = serve;
    options.multiTenant = true;    // several connections of one process, each of which may serve
    options.waitWorkers = false;   // who is missing is ours to say
    options.timeout = Milliseconds(timeout);
    *store = new StorePtr(c10::make_intrusive<c10d::TCPStore>(host, options));
  });
}

char* torch_runtime_store_prefixed(StorePtr* store, const char* prefix, StorePtr** prefixed) {
  return guarded([&] { *prefixed = new StorePtr(c10::make_intrusive<c10d::PrefixStore>(prefix, *store)); });
}

void torch_runtime_store_free(StorePtr* store) { delete store; }

char* torch_runtime_store_set(StorePtr* store, const char* key, const uint8_t* value, size_t size) {
  return guarded([&] { (*store)->set(key, std::vector<uint8_t>(value, value + size)); });
}

char* torch_runtime_store_check(StorePtr* store, const char* key, bool* there) {
  return guarded([&] { *there = (*store)->check({key}); });
}

char* torch_runtime_store_get(StorePtr* store, const char* key, uint8_t** value, size_t* size) {
  return guarded([&] {
    const auto found = (*store)->get(key);
    *value = static_cast<uint8_t*>(malloc(found.size() + 1));
    if (*value == nullptr) throw std::bad_alloc();
    memcpy(*value, found.data(), found.size());
    *size = found.size();
  });
}

char* torch_runtime_store_add(StorePtr* store, const char* key, int64_t by, int64_t* sum) {
  return guarded([&] { *sum = (*store)->add(key, by); });
}

char* torch_runtime_group_new(StorePtr* store, int rank, int size, const char* address, int64_t timeout, GroupPtr** group) {
  return guarded([&] {
    auto options = c10d::ProcessGroupGloo::Options::create(Milliseconds(timeout));
    options->threads = 2;
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address));
    *group = new GroupPtr(c10::make_intrusive<c10d::ProcessGroupGloo>(*store, rank, size, options));
  });
}

void torch_runtime_group_free(GroupPtr* group) { delete group; }

char* torch_runtime_group_sum(GroupPtr* group, const at::Tensor* tensor) {
  return guarded([&] {
    auto tensors = one(tensor);
    (*group)->allreduce(tensors)->wait();
  });
}

char* torch_runtime_group_broadcast(GroupPtr* group, const at::Tensor* tensor, int from) {
  return guarded([&] {
    auto tensors = one(tensor);
    c10d::BroadcastOptions options;
    options.rootRank = from;
    (*group)->broadcast(tensors, options)->wait();
  });
}

// `all` has one more axis than `tensor`: the ranks.
char* torch_runtime_group_gather(GroupPtr* group, const at::Tensor* tensor, const at::Tensor* all) {
  return guarded([&] {
    std::vector<std::vector<at::Tensor>> gathered{all->unbind(0)};
    auto tensors = one(tensor);
    (*group)->allgather(gathered, tensors)->wait();
  });
}

char* torch_runtime_group_send(GroupPtr* group, const at::Tensor* tensor, int to, int tag) {
  return guarded([&] {
    auto tensors = one(tensor);
    (*group)->send(tensors, to, tag)->wait();
  });
}

char* torch_runtime_group_receive(GroupPtr* group, const at::Tensor* tensor, int from, int tag) {
  return guarded([&] {
    auto tensors = one(tensor);
    (*group)->recv(tensors, from, tag)->wait();
  });
}

char* torch_runtime_group_barrier(GroupPtr* group) {
  return guarded([&] { (*group)->barrier()->wait(); });
}

// For the test that errors of every kind arrive as values.
char* torch_runtime_throw(int kind) {
  return guarded([&] {
    if (kind == 0) throw 42;
    if (kind == 1) throw std::runtime_error("a runtime error");
    TORCH_CHECK(false, "a check of LibTorch");
  });
}
}
