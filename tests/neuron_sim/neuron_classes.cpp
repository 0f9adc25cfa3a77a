// Stands for the C++ part of torch_neuronx: torch.classes.neuron.{SPMDModel, LayoutTransformation} and
// torch.ops.neuron._parallel_load. NxD calls them from TorchScript and torch.jit.save writes them into the bundle, so
// they cannot be Python; what they do is in runtime.py. forward_async waits for the result, like forward.
#include <fstream>

#include <torch/csrc/utils/pybind.h>
#include <torch/custom_class.h>
#include <torch/library.h>

namespace py = pybind11;
using Tensors = std::vector<at::Tensor>;
using RankedTensors = std::vector<Tensors>;
using RankedDicts = c10::List<c10::Dict<std::string, at::Tensor>>;

static py::object runtime() { return py::module_::import("tests.neuron_sim.runtime"); }

static py::list to_python(const RankedDicts& ranks) {
  py::list out;
  for (size_t rank = 0; rank < ranks.size(); rank++) {
    py::dict tensors;
    for (const auto& entry : ranks.get(rank)) tensors[py::str(entry.key())] = py::cast(entry.value());
    out.append(tensors);
  }
  return out;
}

struct SPMDModel : torch::CustomClassHolder {
  std::string neff, metaneff;
  int64_t local_ranks, world_size;
  int64_t graph = -1;
  bool mocked = false;

  SPMDModel(std::string neff, std::string metaneff, int64_t local_ranks, int64_t world_size)
      : neff(neff), metaneff(metaneff), local_ranks(local_ranks), world_size(world_size) {}

  bool is_initialized() { return graph >= 0 || mocked; }
  void set_mock_initialized(bool mock) { mocked = mock; }

  void initialize(RankedDicts states, RankedDicts weights, int64_t start_rank) {
    TORCH_CHECK(local_ranks == world_size && start_rank == 0, "the simulator runs on one node only");
    py::gil_scoped_acquire gil;
    auto load = runtime().attr("initialize");
    graph = load(py::bytes(neff), py::bytes(metaneff), to_python(states), to_python(weights)).cast<int64_t>();
  }

  RankedTensors forward_ranked(RankedTensors inputs) {
    py::gil_scoped_acquire gil;
    if (graph < 0) return runtime().attr("mock")(py::bytes(metaneff), local_ranks).cast<RankedTensors>();
    return runtime().attr("execute")(graph, inputs).cast<RankedTensors>();
  }

  Tensors forward(Tensors inputs) { return forward_ranked({inputs})[0]; }

  bool save_neff(std::string path) { return write(path, neff); }
  bool save_metaneff(std::string path) { return write(path, metaneff); }
  static bool write(const std::string& path, const std::string& content) {
    std::ofstream file(path, std::ios::binary);
    file << content;
    return bool(file);
  }
};

struct LayoutTransformation : torch::CustomClassHolder {
  std::string neff, metaneff;
  int64_t local_ranks;

  LayoutTransformation(std::string neff, std::string metaneff, int64_t local_ranks)
      : neff(neff), metaneff(metaneff), local_ranks(local_ranks) {}

  RankedDicts forward(RankedDicts weights, bool) {
    TORCH_CHECK((int64_t)weights.size() == local_ranks, "weights of ", weights.size(), " ranks, not ", local_ranks);
    py::gil_scoped_acquire gil;
    auto changed = runtime().attr("lay_out_weights")(py::bytes(neff), py::bytes(metaneff), to_python(weights));
    RankedDicts out;
    for (const auto& rank : changed.cast<std::vector<std::map<std::string, at::Tensor>>>()) {
      c10::Dict<std::string, at::Tensor> tensors;
      for (const auto& entry : rank) tensors.insert(entry.first, entry.second);
      out.push_back(tensors);
    }
    return out;
  }
};

TORCH_LIBRARY(neuron, library) {
  using SPMDState = std::tuple<std::string, std::string, int64_t, int64_t>;
  using LayoutState = std::tuple<std::string, std::string, int64_t>;
  library.class_<SPMDModel>("SPMDModel")
      .def(torch::init<std::string, std::string, int64_t, int64_t>())
      .def("is_initialized", &SPMDModel::is_initialized)
      .def("set_mock_initialized", &SPMDModel::set_mock_initialized)
      .def("initialize", &SPMDModel::initialize)
      .def("forward", &SPMDModel::forward)
      .def("forward_async", &SPMDModel::forward_ranked)
      .def("forward_ranked", &SPMDModel::forward_ranked)
      .def("forward_ranked_to_cpu", &SPMDModel::forward_ranked)
      .def("save_neff", &SPMDModel::save_neff)
      .def("save_metaneff", &SPMDModel::save_metaneff)
      .def_pickle(
          [](const c10::intrusive_ptr<SPMDModel>& self) {
            return SPMDState(self->neff, self->metaneff, self->local_ranks, self->world_size);
          },
          [](SPMDState s) {
            return c10::make_intrusive<SPMDModel>(std::get<0>(s), std::get<1>(s), std::get<2>(s), std::get<3>(s));
          });

  library.class_<LayoutTransformation>("LayoutTransformation")
      .def(torch::init<std::string, std::string, int64_t>())
      .def("forward", &LayoutTransformation::forward)
      .def_pickle(
          [](const c10::intrusive_ptr<LayoutTransformation>& self) {
            return LayoutState(self->neff, self->metaneff, self->local_ranks);
          },
          [](LayoutState s) {
            return c10::make_intrusive<LayoutTransformation>(std::get<0>(s), std::get<1>(s), std::get<2>(s));
          });

  library.def("_parallel_load(Dict(str, Tensor)[] weights) -> Dict(str, Tensor)[]", [](RankedDicts w) { return w; });
}
