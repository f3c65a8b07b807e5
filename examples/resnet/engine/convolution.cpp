// Convolutions by oneDNN. In: shapes and buffers. Out: steps.
#include "engine/convolution.hpp"

#include <utility>

#include "engine/dnnl_version.hpp"
#include "engine/weight_gradient.hpp"

namespace swav::resnet {
namespace {

using dnnl::memory;

void add_conversion(DnnlProgram& program, Section section, const std::string& name, Buffer* from,
                    const memory::desc& source, Buffer* to, const memory::desc& target, bool accumulate = false) {
  dnnl::primitive_attr attributes = DnnlProgram::attributes();
  if (accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const dnnl::reorder::primitive_desc desc(program.engine(), source, program.engine(), target, attributes);
  program.add(section, name, dnnl::reorder(desc), desc.scratchpad_desc(),
              {{DNNL_ARG_FROM, source, from}, {DNNL_ARG_TO, target, to}});
}

}  // namespace

Blocking preferred_blocking(const dnnl::engine& engine, Precision precision, Index channels) {
  using tag = memory::format_tag;
  const memory::dims data = {2, channels, 16, 16};
  const memory::desc any(data, dnnl_type(precision), tag::any);
  const memory::desc weights({channels, channels, 3, 3}, dnnl_type(precision), tag::any);
  const auto chosen = describe<dnnl::convolution_forward>(
      engine, dnnl::primitive_attr(), dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, any,
      weights, any, memory::dims{1, 1}, memory::dims{1, 1}, memory::dims{1, 1});
  const memory::desc found = chosen.dst_desc();
  if (found == memory::desc(data, dnnl_type(precision), tag::nChw16c)) return Blocking::by16;
  if (found == memory::desc(data, dnnl_type(precision), tag::nChw8c)) return Blocking::by8;
  return Blocking::channels_last;
}

ConvolutionWeights::ConvolutionWeights(std::string name, Index out_channels, Index in_channels, Index kernel,
                                       std::span<float> value, std::span<float> gradient)
    : name_(std::move(name)),
      out_channels_(out_channels),
      in_channels_(in_channels),
      kernel_(kernel),
      value_(value),
      gradient_(gradient) {}

memory::desc ConvolutionWeights::master_desc() const {
  return {dims(), memory::data_type::f32, memory::format_tag::oihw};
}

Buffer* ConvolutionWeights::as(DnnlProgram& program, Section section, const memory::desc& desc) {
  for (const Copy& copy : copies_)
    if (copy.desc == desc) return copy.buffer;
  Buffer* buffer = nullptr;
  if (desc == master_desc()) {
    buffer = program.external(value_.data());
  } else {
    buffer = section == Section::prepare ? program.kept_buffer(desc.get_size()) : program.buffer(desc.get_size());
    add_conversion(program, section, name_ + " weights", program.external(value_.data()), master_desc(), buffer, desc);
  }
  copies_.push_back({desc, buffer});
  return buffer;
}

void ConvolutionWeights::collect_gradient(DnnlProgram& program, Buffer* computed, const memory::desc& desc) {
  add_conversion(program, Section::backward, name_ + " gradient", computed, desc, program.external(gradient_.data()),
                 master_desc(), gradient_started_);
  gradient_started_ = true;
}

Convolution::Convolution(ConvolutionWeights& weights, ChannelLayout input, Index stride, Precision precision)
    : weights_(weights), input_(input), output_(input), stride_(stride), precision_(precision) {
  output_.channels = weights.out_channels();
  output_.size = (input.size - 1) / stride + 1;
}

memory::desc Convolution::any_input() const {
  return {{input_.images, input_.channels, input_.size, input_.size}, dnnl_type(precision_), memory::format_tag::any};
}

void Convolution::describe_forward(const DnnlProgram& program, const memory::desc& input) {
  const Index padding = (weights_.kernel() - 1) / 2;
  // Padding on the far side: what the last window really reaches.
  const Index far = (output_.size - 1) * stride_ + weights_.kernel() - input_.size - padding;
  forward_ = describe<dnnl::convolution_forward>(
      program.engine(), DnnlProgram::attributes(), dnnl::prop_kind::forward_training,
      dnnl::algorithm::convolution_direct, input,
      memory::desc(weights_.dims(), dnnl_type(precision_), memory::format_tag::any), output_.desc(precision_),
      memory::dims{stride_, stride_}, memory::dims{padding, padding}, memory::dims{far, far});
  input_desc_ = forward_.src_desc();
}

void Convolution::add_forward(DnnlProgram& program, Section weights_section, Buffer* output) {
  Buffer* weights = weights_.as(program, weights_section, forward_.weights_desc());
  program.add(Section::forward, weights_.name() + " forward", dnnl::convolution_forward(forward_),
              forward_.scratchpad_desc(),
              {{DNNL_ARG_SRC, input_desc_, input_buffer_},
               {DNNL_ARG_WEIGHTS, forward_.weights_desc(), weights},
               {DNNL_ARG_DST, forward_.dst_desc(), output}});
}

void Convolution::forward(DnnlProgram& program, Section weights_section, Buffer* input, Buffer* output) {
  describe_forward(program, input_.desc(precision_));
  input_buffer_ = input;
  add_forward(program, weights_section, output);
}

void Convolution::forward_from_images(DnnlProgram& program, Section weights_section, Buffer* images, Buffer* output) {
  describe_forward(program, any_input());
  images_ = images;
  const memory::desc planar({input_.images, input_.channels, input_.size, input_.size}, memory::data_type::f32,
                            memory::format_tag::nchw);
  if (input_desc_ == planar) {
    input_buffer_ = images;
  } else {
    input_buffer_ = program.buffer(input_desc_.get_size());
    add_conversion(program, Section::forward, "images", images, planar, input_buffer_, input_desc_);
  }
  add_forward(program, weights_section, output);
}

void Convolution::backward_weights(DnnlProgram& program, Buffer* grad_output) {
  if (input_desc_ == input_.desc(precision_) &&
      WeightGradient::suits(input_, output_, weights_.kernel(), stride_, precision_)) {
    const WeightGradient own(input_, output_, weights_.kernel(), stride_, program.threads());
    Buffer* scratch = program.buffer(own.scratch_bytes());
    Buffer* computed = program.buffer(own.desc().get_size());
    program.add(Section::backward, weights_.name() + " backward weights",
                {input_buffer_, grad_output, scratch, computed},
                [own, input = input_buffer_, grad_output, scratch, computed] {
                  own(input->as<Bfloat16>(), grad_output->as<Bfloat16>(), scratch->data(), computed->as<float>());
                });
    weights_.collect_gradient(program, computed, own.desc());
    return;
  }
  const Index padding = (weights_.kernel() - 1) / 2;
  const Index far = (output_.size - 1) * stride_ + weights_.kernel() - input_.size - padding;
  const auto desc = describe_backward<dnnl::convolution_backward_weights>(
      program.engine(), DnnlProgram::attributes(), forward_, dnnl::algorithm::convolution_direct, input_desc_,
      memory::desc(weights_.dims(), memory::data_type::f32, memory::format_tag::any), output_.desc(precision_),
      memory::dims{stride_, stride_}, memory::dims{padding, padding}, memory::dims{far, far});
  Buffer* computed = program.buffer(desc.diff_weights_desc().get_size());
  program.add(Section::backward, weights_.name() + " backward weights", dnnl::convolution_backward_weights(desc),
              desc.scratchpad_desc(),
              {{DNNL_ARG_SRC, input_desc_, input_buffer_},
               {DNNL_ARG_DIFF_DST, desc.diff_dst_desc(), grad_output},
               {DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc(), computed}});
  weights_.collect_gradient(program, computed, desc.diff_weights_desc());
}

void Convolution::backward_data(DnnlProgram& program, Buffer* grad_output, Buffer* grad_input) {
  const Index padding = (weights_.kernel() - 1) / 2;
  const Index far = (output_.size - 1) * stride_ + weights_.kernel() - input_.size - padding;
  const auto desc = describe_backward<dnnl::convolution_backward_data>(
      program.engine(), DnnlProgram::attributes(), forward_, dnnl::algorithm::convolution_direct,
      input_.desc(precision_), memory::desc(weights_.dims(), dnnl_type(precision_), memory::format_tag::any),
      output_.desc(precision_), memory::dims{stride_, stride_}, memory::dims{padding, padding}, memory::dims{far, far});
  Buffer* weights = weights_.as(program, Section::backward, desc.weights_desc());
  program.add(Section::backward, weights_.name() + " backward data", dnnl::convolution_backward_data(desc),
              desc.scratchpad_desc(),
              {{DNNL_ARG_DIFF_DST, desc.diff_dst_desc(), grad_output},
               {DNNL_ARG_WEIGHTS, desc.weights_desc(), weights},
               {DNNL_ARG_DIFF_SRC, desc.diff_src_desc(), grad_input}});
}

}  // namespace swav::resnet
