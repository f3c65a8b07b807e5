// Max pooling by oneDNN. In: shapes and buffers. Out: steps.
#include "engine/max_pooling.hpp"

namespace swav::resnet {
namespace {

constexpr Index kernel = 3, stride = 2, padding = 1;

}  // namespace

MaxPooling::MaxPooling(ChannelLayout input, Precision precision)
    : input_(input), output_(input), precision_(precision) {
  output_.size = (input.size + 2 * padding - kernel) / stride + 1;
}

void MaxPooling::forward(DnnlProgram& program, Buffer* input, Buffer* output) {
  using dims = dnnl::memory::dims;
  const Index far = (output_.size - 1) * stride + kernel - input_.size - padding;
  forward_ = describe<PoolingForward>(program.engine(), DnnlProgram::attributes(), dnnl::prop_kind::forward_training,
                                      dnnl::algorithm::pooling_max, input_.desc(precision_), output_.desc(precision_),
                                      dims{stride, stride}, dims{kernel, kernel}, dims{0, 0}, dims{padding, padding},
                                      dims{far, far});
  workspace_ = program.buffer(forward_.workspace_desc().get_size());
  program.add(Section::forward, "maxpool forward", PoolingForward(forward_), forward_.scratchpad_desc(),
              {{DNNL_ARG_SRC, forward_.src_desc(), input},
               {DNNL_ARG_DST, forward_.dst_desc(), output},
               {DNNL_ARG_WORKSPACE, forward_.workspace_desc(), workspace_}});
}

void MaxPooling::backward(DnnlProgram& program, Buffer* grad_output, Buffer* grad_input) {
  using dims = dnnl::memory::dims;
  const Index far = (output_.size - 1) * stride + kernel - input_.size - padding;
  const auto desc = describe_backward<PoolingBackward>(
      program.engine(), DnnlProgram::attributes(), forward_, dnnl::algorithm::pooling_max, input_.desc(precision_),
      output_.desc(precision_), dims{stride, stride}, dims{kernel, kernel}, dims{0, 0}, dims{padding, padding},
      dims{far, far});
  program.add(Section::backward, "maxpool backward", PoolingBackward(desc), desc.scratchpad_desc(),
              {{DNNL_ARG_DIFF_DST, desc.diff_dst_desc(), grad_output},
               {DNNL_ARG_WORKSPACE, forward_.workspace_desc(), workspace_},
               {DNNL_ARG_DIFF_SRC, desc.diff_src_desc(), grad_input}});
}

}  // namespace swav::resnet
