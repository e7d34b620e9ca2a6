// SPDX-License-Identifier: MIT
/**
 * What a library must keep to so that it runs on a real Jenkins: transformed to continuations (workflow-cps), in the
 * sandbox of script-security, over restarts.
 *
 *     groovy Lint.groovy FILE...
 *
 * Prints one line for each offence.
 */
import org.codehaus.groovy.ast.ClassNode
import org.codehaus.groovy.ast.CodeVisitorSupport
import org.codehaus.groovy.ast.MethodNode
import org.codehaus.groovy.ast.builder.AstBuilder
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.ForStatement
import org.codehaus.groovy.control.CompilePhase

class Rules extends CodeVisitorSupport {
    /* Steps of Jenkins' Pipeline plugins: workflow-basic-steps, -durable-task-step, pipeline-input-step, -stage-step,
     * credentials-binding (and its symbol `file`), junit, workflow-scm-step, pipeline-groovy-lib. */
    static final Set STEPS = ['archiveArtifacts', 'checkout', 'dir', 'echo', 'error', 'file', 'fileExists', 'input', 'junit',
                              'libraryResource', 'node', 'readFile', 'sh', 'stage', 'stash', 'timeout', 'unstable',
                              'unstash', 'withCredentials', 'withEnv'] as Set
    static final Set BLOCKS = ['dir', 'node', 'stage', 'timeout', 'withCredentials', 'withEnv', 'onNode'] as Set

    /* As script-security's generic-whitelist has them, by the name that is called. */
    static final Map WHITELIST = [
        add: 'method java.util.Collection add java.lang.Object',
        append: 'method java.lang.AbstractStringBuilder append java.lang.String',
        contains: 'method java.util.Collection contains java.lang.Object',
        entrySet: 'method java.util.Map entrySet',
        get: 'method java.util.Map get java.lang.Object',
        getBuildCauses: 'RunWrapper, @Whitelisted',
        hashCode: 'method java.lang.Object hashCode',
        indexOf: 'method java.util.List indexOf java.lang.Object',
        isEmpty: 'method java.lang.CharSequence isEmpty',
        join: 'staticMethod DefaultGroovyMethods join java.lang.Iterable java.lang.String',
        length: 'method java.lang.CharSequence length',
        matches: 'method java.lang.String matches java.lang.String',
        parseInt: 'staticMethod java.lang.Integer parseInt java.lang.String',
        parseText: 'method groovy.json.JsonSlurper parseText java.lang.String',
        put: 'method java.util.Map put java.lang.Object java.lang.Object',
        remove: 'method java.util.Map remove java.lang.Object',
        replace: 'method java.lang.String replace java.lang.CharSequence java.lang.CharSequence',
        replaceAll: 'method java.lang.String replaceAll java.lang.String java.lang.String',
        size: 'method java.util.Collection size',
        split: 'method java.lang.String split java.lang.String',
        substring: 'method java.lang.String substring int int',
        toJson: 'staticMethod groovy.json.JsonOutput toJson java.util.Map',
        toString: 'method java.lang.Object toString; staticMethod java.lang.Integer toString int int',
        trim: 'method java.lang.String trim',
    ]
    static final Set CONSTRUCTORS = ['StringBuilder', 'groovy.json.JsonSlurper'] as Set
    /* What a local may be where a step can come between: Jenkins writes it down. */
    static final Set KEPT = ['String', 'int', 'boolean', 'Map', 'List', 'java.lang.Object', 'java.lang.Integer',
                             'java.lang.Boolean'] as Set

    String file
    ClassNode type
    MethodNode method
    boolean isPure
    List offences = []

    void offend(def node, String text) {
        offences.add("${file}:${node.lineNumber}: ${method ? method.name + ': ' : ''}${text}")
    }

    static boolean isNonCPS(MethodNode method) {
        return method.annotations.any { it.classNode.nameWithoutPackage == 'NonCPS' }
    }

    void check() {
        type.fields.each { offend(it, "a field ('${it.name}') is lost when Jenkins restarts") }
        type.methods.findAll { it.lineNumber > 0 || it.name == 'run' }.each {
            method = it
            isPure = isNonCPS(it)
            if (it.private) {
                offend(it, 'a closure does not find a private method')
            }
            it.code?.visit(this)
        }
        method = null
    }

    List own(String name) {
        return type.methods.findAll { it.name == name }
    }

    void visitMethodCallExpression(MethodCallExpression call) {
        String name = call.methodAsString
        boolean isOurs = call.implicitThis || call.objectExpression.text == 'this'

        if (name == null) {
            offend(call, 'the name of what is called must be a word')
        } else if (isOurs) {
            checkOwn(call, name)
        } else if (call.objectExpression.text != 'slipway' && !WHITELIST.containsKey(name)) {
            offend(call, "'${name}' is not in the sandbox's whitelist")
        }
        if (name == 'sh' && mentions(call.arguments, GStringExpression)) {
            offend(call, 'nothing is ever interpolated into what a shell runs')
        }
        call.arguments.visit(this)
        call.objectExpression.visit(this)
        closures(call).each { checkBlock(it, isOurs || call.objectExpression.text == 'slipway' ? name : '') }
    }

    void checkOwn(MethodCallExpression call, String name) {
        boolean isLocal = own(name) || (name == 'body' && !isPure)

        if (isPure && own(name).any { !isNonCPS(it) }) {
            offend(call, "@NonCPS calls '${name}', which is not")
        } else if (isPure && !isLocal) {
            offend(call, "@NonCPS calls the step '${name}'")
        } else if (!isPure && !isLocal && !(name in STEPS)) {
            offend(call, "'${name}' is no step that comes with Pipeline")
        }
    }

    static List closures(MethodCallExpression call) {
        def arguments = call.arguments

        return arguments instanceof TupleExpression ? arguments.expressions.findAll { it instanceof ClosureExpression } : []
    }

    void checkBlock(ClosureExpression closure, String name) {
        if (isPure || !(name in BLOCKS)) {
            offend(closure, "a closure that is given to '${name}', over which no step can come")
        }
    }

    static boolean mentions(Expression where, Class kind) {
        boolean found = false

        where.visit(new CodeVisitorSupport() {
            void visitGStringExpression(GStringExpression e) {
                found |= kind == GStringExpression
            }
        })
        return found
    }

    void visitStaticMethodCallExpression(StaticMethodCallExpression call) {
        offend(call, "'${call.method}' is called as a static method")
    }

    void visitConstructorCallExpression(ConstructorCallExpression call) {
        if (!(call.type.name in CONSTRUCTORS) || !isPure) {
            offend(call, "makes a '${call.type.name}'" + (isPure ? '' : ' where a step can come between'))
        }
        super.visitConstructorCallExpression(call)
    }

    void visitForLoop(ForStatement loop) {
        if (!isPure && !(loop.collectionExpression instanceof ClosureListExpression)) {
            offend(loop, 'an iterator is held over steps: count instead')
        }
        super.visitForLoop(loop)
    }

    void visitDeclarationExpression(DeclarationExpression declaration) {
        String kind = declaration.leftExpression instanceof VariableExpression ? declaration.leftExpression.type.name : '('

        if (!isPure && !(kind in KEPT)) {
            offend(declaration, "a '${kind}' is held where a step can come between")
        }
        super.visitDeclarationExpression(declaration)
    }

    void visitAttributeExpression(AttributeExpression expression) {
        offend(expression, 'a field is reached past its property')
    }

    void visitMethodPointerExpression(MethodPointerExpression expression) {
        offend(expression, 'a method pointer cannot be kept')
    }
}

args.each { name ->
    def nodes = new AstBuilder().buildFromString(CompilePhase.CONVERSION, false, new File(name).getText('UTF-8'))
    def rules = new Rules(file: new File(name).name, type: nodes.find { it instanceof ClassNode })

    rules.check()
    rules.offences.each { println it }
}
