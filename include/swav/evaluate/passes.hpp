// The device's part of the evaluation. In: feature matrices. Out: predictions, gradients, statistics. A backend models
// it by specialising the three pass groups below, for every floating-point Scalar.
#pragma once

namespace swav {

// Features, prototypes, designs and weights are in the device's memory; labels, moments, gradients and what else stands
// as a pointer, in the host's.

/// Static functions:
///   classify<Scalar>(device, train, train_labels, test, neighbors, temperature, int* predictions) -> bool
///     The class of largest weight among each test row's `neighbors` most similar train rows (cosine), a neighbour
///     weighing exp(similarity / temperature); of equal similarities the earlier row, of equal weights the lower class.
///     False, with predictions unspecified, if an entry is not finite. Never holds the test x train similarities.
template <class Device>
struct KnnPasses;

/// Static functions; "design" is the matrix a linear model is fitted on: features, a column of ones, columns of zeros.
///   moments<Scalar>(device, features, double* mean, double* deviation) -> bool
///     Each column's mean and standard deviation (of n - 1); false if one is not finite.
///   design<Scalar>(device, features, mean, inverse_deviation, MatrixView<Scalar> design)
///     design = (features - mean) * inverse_deviation, 1, 0, ...
///   cross_entropy<Scalar>(device, design, labels, rows, MatrixView<const Scalar> weights, gradient, workspace) ->
///   double
///     The mean over `rows` (or over all rows, if it is empty) of -log softmax(weights design_r)[label_r], and, into
///     the doubles at `gradient`, its gradient with respect to weights. Workspace<Scalar> only ever grows.
///   predict<Scalar>(device, features, mean, inverse_deviation, weights, int* predictions) -> bool
///     The arg max of each row's scores; false if a score is not finite.
/// Sums are made in an order that does not depend on the number of threads.
template <class Device>
struct ProbePasses;

/// Static functions:
///   assign<Scalar>(device, embeddings, prototypes, int* assignments) -> bool
///     The arg max over k of embeddings_b . prototypes_k, the lowest of equals; false if a score is not finite.
///   spread<Scalar>(device, features, workspace) -> double
///     The mean over columns of the standard deviation (of n) of the rows divided by their norms; NaN if an entry is
///     not finite. Workspace only ever grows.
template <class Device>
struct StatisticsPasses;

}  // namespace swav
