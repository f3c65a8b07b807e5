// Fully connected layers by oneDNN. In: shapes and buffers. Out: steps.
#include "engine/linear.hpp"

#include <utility>

#include "engine/dnnl_version.hpp"

namespace swav::resnet {
namespace {

dnnl::memory::desc matrix(Index rows, Index cols) {
  return {{rows, cols}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab};
}

}  // namespace

Linear::Linear(std::string name, Index rows, Index in, Index out, Arrays arrays)
    : name_(std::move(name)),
      arrays_(arrays),
      input_(matrix(rows, in)),
      weight_(matrix(out, in)),
      bias_({out}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a),
      output_(matrix(rows, out)) {}

void Linear::forward(DnnlProgram& program, Buffer* input, Buffer* output) {
  forward_ = describe<dnnl::inner_product_forward>(program.engine(), DnnlProgram::attributes(),
                                                   dnnl::prop_kind::forward_training, input_, weight_, bias_, output_);
  program.add(Section::forward, name_ + " forward", dnnl::inner_product_forward(forward_), forward_.scratchpad_desc(),
              {{DNNL_ARG_SRC, input_, input},
               {DNNL_ARG_WEIGHTS, weight_, program.external(arrays_.weight.data())},
               {DNNL_ARG_BIAS, bias_, program.external(arrays_.bias.data())},
               {DNNL_ARG_DST, output_, output}});
}

void Linear::backward_weights(DnnlProgram& program, Buffer* input, Buffer* grad_output) {
  const auto desc = describe_backward<dnnl::inner_product_backward_weights>(program.engine(), DnnlProgram::attributes(),
                                                                            forward_, input_, weight_, bias_, output_);
  program.add(Section::backward, name_ + " backward weights", dnnl::inner_product_backward_weights(desc),
              desc.scratchpad_desc(),
              {{DNNL_ARG_SRC, input_, input},
               {DNNL_ARG_DIFF_DST, output_, grad_output},
               {DNNL_ARG_DIFF_WEIGHTS, weight_, program.external(arrays_.grad_weight.data())},
               {DNNL_ARG_DIFF_BIAS, bias_, program.external(arrays_.grad_bias.data())}});
}

void Linear::backward_data(DnnlProgram& program, Buffer* grad_output, Buffer* grad_input) {
  const auto desc = describe_backward<dnnl::inner_product_backward_data>(program.engine(), DnnlProgram::attributes(),
                                                                         forward_, input_, weight_, output_);
  program.add(Section::backward, name_ + " backward data", dnnl::inner_product_backward_data(desc),
              desc.scratchpad_desc(),
              {{DNNL_ARG_DIFF_DST, output_, grad_output},
               {DNNL_ARG_WEIGHTS, weight_, program.external(arrays_.weight.data())},
               {DNNL_ARG_DIFF_SRC, input_, grad_input}});
}

}  // namespace swav::resnet
